"""Meters: what is counted, by which formula, in which windows."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def create(account: Account, params: Params) -> Document:
    params.needed("display_name", "event_name", "default_aggregation")
    display_name, event_name = params.must("display_name", 250), params.must("event_name", 100)
    aggregation = params.group("default_aggregation")
    aggregation.needed("formula")
    formula = aggregation.choice("formula", "count", "last", "sum")
    window = params.choice("event_time_window", "day", "hour")
    mapping = params.group("customer_mapping")
    if params.has("customer_mapping"):
        mapping.needed("event_payload_key", "type")
    mapping.choice("type", "by_id")
    customer_key = mapping.text("event_payload_key", 100) or "stripe_customer_id"
    value_key = params.group("value_settings").text("event_payload_key", 100) or "value"
    params.finish()
    alone(account, event_name)
    return account.add("meter", {
        "id": account.identity("mtr_test"), "object": "billing.meter", "created": account.now,
        "customer_mapping": {"event_payload_key": customer_key, "type": "by_id"},
        "default_aggregation": {"formula": formula}, "display_name": display_name, "event_name": event_name,
        "event_time_window": window, "livemode": False, "status": "active",
        "status_transitions": {"deactivated_at": None}, "updated": account.now,
        "value_settings": {"event_payload_key": value_key},
    })  # fmt: skip


def retrieve(account: Account, params: Params, meter: str) -> Document:
    params.finish()
    return account.the("meter", meter)


def update(account: Account, params: Params, meter: str) -> Document:
    """A meter never changes but for its name."""
    found = account.the("meter", meter)
    name = params.text("display_name", 250)
    params.finish()
    return account.change("meter", found, display_name=name or found["display_name"], updated=account.now)


def deactivate(account: Account, params: Params, meter: str) -> Document:
    params.finish()
    found = account.the("meter", meter)
    if found["status"] == "inactive":
        raise invalid(f"The meter {meter} is already inactive.")
    return account.change(
        "meter", found, status="inactive", status_transitions={"deactivated_at": account.now}, updated=account.now
    )


def reactivate(account: Account, params: Params, meter: str) -> Document:
    params.finish()
    found = account.the("meter", meter)
    if found["status"] == "active":
        raise invalid(f"The meter {meter} is already active.")
    alone(account, found["event_name"])
    return account.change(
        "meter", found, status="active", status_transitions={"deactivated_at": None}, updated=account.now
    )


def listing(account: Account, params: Params) -> Document:
    status = params.choice("status", "active", "inactive")
    meters = [each for each in account.store.every("meter") if status in (None, each["status"])]
    return listed(params, meters, "/v1/billing/meters")


def active(account: Account, event_name: str) -> Document | None:
    found = (each for each in account.store.find("meter", "event_name", event_name) if each["status"] == "active")
    return next(found, None)


def alone(account: Account, event_name: str) -> None:
    """Raises StripeError: an active meter has this event name already."""
    other = active(account, event_name)
    if other is not None:
        raise invalid(
            f"There is already an active meter with the event name {event_name}: {other['id']}. Deactivate it, or use "
            "another event name.",
            "event_name",
        )
