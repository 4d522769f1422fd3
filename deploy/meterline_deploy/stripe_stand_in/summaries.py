"""Event summaries: what a meter counted of a customer, as much as Stripe shows of it."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in import customers, meter_events
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document
from meterline_deploy.stripe_stand_in.usage import WINDOWS, Reading, amount, between, grouped, standing


def listing(account: Account, params: Params, meter: str) -> Document:
    """One of the whole range, or with ``value_grouping_window`` one of each hour or day that has events."""
    found = account.the("meter", meter)
    params.needed("customer", "start_time", "end_time")
    customer = customers.living(account, params.must("customer"))["id"]
    start, end = params.whole("start_time", 0) or 0, params.whole("end_time", 0) or 0
    window = params.choice("value_grouping_window", "day", "hour")
    unit = WINDOWS[window] if window else 60
    for name, at in (("start_time", start), ("end_time", end)):
        if at % unit:
            boundary = {60: "minute", 3_600: "hour", 86_400: "day, 00:00 UTC,"}[unit]
            raise invalid(f"Invalid {name}: {at} must be aligned with {boundary} boundaries.", name)
    if start >= end:
        raise invalid("Invalid end_time: it must be after start_time.", "end_time")
    until = account.instant - account.settings.summary_delay
    stand = standing(meter_events.readings(account, meter, customer, until), found["event_time_window"])
    inside = between(stand, start, end)
    ranges: list[tuple[int, int, list[Reading]]] = [(start, end, inside)]
    if window:
        ranges = [(at, at + unit, group) for at, group in grouped(inside, unit).items()]
    formula = found["default_aggregation"]["formula"]
    summaries = [
        {
            "id": f"mtrusg_test_{at}_{until_}", "object": "billing.meter_event_summary",
            "aggregated_value": float(amount(group, formula)), "end_time": until_, "livemode": False, "meter": meter,
            "start_time": at,
        }
        for at, until_, group in ranges
    ]  # fmt: skip
    return listed(params, summaries, f"/v1/billing/meters/{meter}/event_summaries")
