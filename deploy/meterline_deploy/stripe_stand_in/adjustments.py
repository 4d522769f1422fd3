"""Meter event adjustments: an event cancelled within a day of its receipt."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in import meters
from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def create(account: Account, params: Params) -> Document:
    """In a windowed meter the event received before takes the cancelled one's place; Stripe's pages do not say."""
    params.needed("event_name", "type")
    event_name = params.must("event_name", 100)
    params.choice("type", "cancel")
    cancel = params.group("cancel")
    cancel.needed("identifier")
    identifier = cancel.must("identifier", 100)
    params.finish()
    if meters.active(account, event_name) is None:
        raise invalid(f"No active meter found for event name '{event_name}'.", "event_name", "resource_missing")
    sent = account.store.find("meter_event", "identifier", identifier)
    event = next((each for each in reversed(sent) if each["event_name"] == event_name), None)
    if event is None:
        raise invalid(f"No meter event found with identifier {identifier}.", "cancel[identifier]", "resource_missing")
    if account.now - event["received"] > 86_400:
        raise invalid(
            f"The event with identifier {identifier} was received more than 24 hours ago: too late to cancel it.",
            "cancel[identifier]",
        )
    if event["cancelled"]:
        raise invalid(f"The event with identifier {identifier} is already cancelled.", "cancel[identifier]")
    account.change("meter_event", event, cancelled=True)
    return {
        "object": "billing.meter_event_adjustment", "cancel": {"identifier": identifier}, "event_name": event_name,
        "livemode": False, "status": "complete", "type": "cancel",
    }  # fmt: skip
