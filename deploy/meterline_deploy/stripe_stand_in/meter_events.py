"""Meter events: checked, remembered by their identifier, never listed."""

from __future__ import annotations

import re
from typing import Final

from meterline_deploy.stripe_stand_in import meter_errors, meters
from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.errors import StripeError, already_sent, invalid, missing
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document
from meterline_deploy.stripe_stand_in.usage import Reading

PAST: Final = 35 * 86_400
FUTURE: Final = 5 * 60
DIGITS: Final = 15
WHOLE: Final = re.compile(r"-?[0-9]+\Z")


class Uncountable(Exception):
    """An event that is refused at once or, in asynchronous mode, reported later under ``code``."""

    def __init__(self, code: str, refusal: StripeError, meter: Document | None = None) -> None:
        self.code = code
        self.refusal = refusal
        self.meter = meter


def create(account: Account, params: Params) -> Document:
    params.needed("event_name", "payload")
    event_name, payload = params.must("event_name", 100), params.mapping("payload")
    identifier = params.text("identifier", 100)
    timestamp = params.whole("timestamp")
    params.finish()
    now = account.now
    timestamp = now if timestamp is None else timestamp
    identifier = identifier or account.identity("generated")
    if remembered(account, identifier):
        raise already_sent(identifier)
    try:
        meter, customer, value = judge(account, event_name, payload, timestamp)
    except Uncountable as wrong:
        if not account.settings.asynchronous:
            raise wrong.refusal from None
        meter_errors.note(account, wrong.code, wrong.refusal.message, identifier, event_name, wrong.meter)
    else:
        order = account.store.count("meter event")
        account.add("meter_event", {
            "id": str(order), "order": order, "identifier": identifier, "event_name": event_name, "meter": meter["id"],
            "customer": customer, "value": value, "timestamp": timestamp, "received": now, "cancelled": False,
            "series": series(meter["id"], customer),
        })  # fmt: skip
    return {
        "object": "billing.meter_event", "created": now, "event_name": event_name, "identifier": identifier,
        "livemode": False, "payload": payload, "timestamp": timestamp,
    }  # fmt: skip


def judge(account: Account, event_name: str, payload: dict[str, str], timestamp: int) -> tuple[Document, str, int]:
    """The meter, the customer and the value. Raises Uncountable."""
    meter = meters.active(account, event_name)
    if meter is None:
        archived = account.store.find("meter", "event_name", event_name)
        if archived:
            sentence = f"The meter with the event name {event_name} is inactive. Reactivate it first."
            raise Uncountable("archived_meter", invalid(sentence, "event_name"), archived[-1])
        sentence = f"No active meter found for event name '{event_name}'."
        raise Uncountable("no_meter", invalid(sentence, "event_name", "resource_missing"))
    customer_key = meter["customer_mapping"]["event_payload_key"]
    customer = payload.get(customer_key)
    param = f"payload[{customer_key}]"
    if not customer:
        refusal = invalid(f"Missing required key '{customer_key}' in payload.", param, "parameter_missing")
        raise Uncountable("meter_event_no_customer_defined", refusal, meter)
    found = account.store.get("customer", customer)
    if found is None or found.get("deleted"):
        raise Uncountable("meter_event_customer_not_found", missing("customer", customer, param), meter)
    value = whole(meter, payload)
    now = account.now
    if timestamp < now - PAST:
        refusal = invalid(
            "The event timestamp cannot be more than 35 days in past. Expected a timestamp greater than or equal to "
            f"{now - PAST}.", "timestamp",
        )  # fmt: skip
        raise Uncountable("timestamp_too_far_in_past", refusal, meter)
    if timestamp > now + FUTURE:
        refusal = invalid(
            "The event timestamp cannot be more than 5 minutes in the future. Expected a timestamp less than or equal "
            f"to {now + FUTURE}.", "timestamp",
        )  # fmt: skip
        raise Uncountable("timestamp_in_future", refusal, meter)
    return meter, customer, value


def whole(meter: Document, payload: dict[str, str]) -> int:
    """The value, a whole number of at most 15 digits; where only events are counted it may be left out."""
    key = meter["value_settings"]["event_payload_key"]
    text, param = payload.get(key), f"payload[{key}]"
    if text is None and meter["default_aggregation"]["formula"] == "count":
        return 1
    if not text or not WHOLE.match(text):
        sentence = f"Invalid value in payload '{key}': {text or ''}. Expected a whole number."
        raise Uncountable("meter_event_invalid_value", invalid(sentence, param), meter)
    if len(text.lstrip("-").lstrip("0")) > DIGITS:
        sentence = f"Invalid value in payload '{key}': {text[:40]}. Expected at most {DIGITS} significant digits."
        raise Uncountable("meter_event_value_too_many_digits", invalid(sentence, param), meter)
    return int(text)


def remembered(account: Account, identifier: str) -> bool:
    since = account.instant - account.settings.identifier_hours * 3_600
    return any(each["received"] > since for each in account.store.find("meter_event", "identifier", identifier))


def held(account: Account, params: Params) -> str | None:
    """What a call holds while it lasts: its customer and meter; nothing where it names none."""
    event_name, payload = params.text("event_name"), params.mapping("payload")
    meter = meters.active(account, event_name or "")
    customer = payload.get(meter["customer_mapping"]["event_payload_key"]) if meter else None
    return series(meter["id"], customer) if meter and customer else None


def series(meter: str, customer: str) -> str:
    return f"{meter} {customer}"


def readings(account: Account, meter: str, customer: str, received_until: float = float("inf")) -> list[Reading]:
    """What was received of a customer and not cancelled."""
    events = account.store.find("meter_event", "series", series(meter, customer))
    return [
        Reading(each["timestamp"], each["value"], each["order"])
        for each in events
        if not each["cancelled"] and each["received"] <= received_until
    ]
