"""The Stripe stand-in counts as Stripe does: identifiers, windows, digits, summaries; seen through the official SDK."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import stripe

from tests.stripe.process import DAY, NOON, StandIn, told

TODAY = NOON - NOON % DAY


def refused(call: Callable[[], Any], *words: str) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        call()
    assert all(word in str(raised.value) for word in words), raised.value
    return raised.value


def test_the_last_received_event_of_a_day_overwrites(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter("day")
    send(calls, 10, at=TODAY + 3_600)
    send(calls, 7, at=TODAY)  # received later, though stamped earlier
    send(calls, 5, at=TODAY - 1)
    counted = {day: value for (who, name, day), value in stand_in.values().items() if name == calls.event_name}
    assert counted == {TODAY: 7, TODAY - DAY: 5}
    send(calls, 0, at=TODAY)
    assert stand_in.values()[customer, calls.event_name, TODAY] == 0


def test_without_windows_all_events_add_up(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter(None)
    for value in (10, 7, -3):
        send(calls, value, at=TODAY)
    assert stand_in.values()[customer, calls.event_name, TODAY] == 14


def test_an_identifier_is_taken_once_and_remembered_for_a_day(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls, identifier = meter(), uuid.uuid4().hex
    send(calls, 1, identifier=identifier)
    for value in (1, 2):
        error = refused(lambda value=value: send(calls, value, identifier=identifier))  # type: ignore[misc]
        assert str(error.user_message) == f"An event already exists with identifier {identifier}."
        assert (error.http_status, told(error)) == (400, (None, "false"))
    assert stand_in.values()[customer, calls.event_name, TODAY] == 1
    stand_in.advance(DAY + 1)
    send(calls, 3, identifier=identifier)  # forgotten: an identifier is no ledger
    assert stand_in.values()[customer, calls.event_name, TODAY] == 3


def test_the_same_idempotency_key_replays_the_answer_and_another_body_is_refused(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any]
) -> None:
    calls, key = meter(), uuid.uuid4().hex
    first = send(calls, 1, identifier=key, idempotency_key=key)
    again = send(calls, 1, identifier=key, idempotency_key=key)
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.to_dict() == first.to_dict()
    with pytest.raises(stripe.IdempotencyError):
        send(calls, 2, identifier=key, idempotency_key=key)
    logged = [each for each in stand_in.control("state")["events"] if each["identifier"] == key]
    assert [each["value"] for each in logged] == [1]


def test_events_are_taken_for_35_days_and_5_minutes(meter: Callable[..., Any], send: Callable[..., Any]) -> None:
    calls = meter()
    send(calls, 1, at=NOON - 35 * DAY)
    send(calls, 1, at=NOON + 300)
    least = NOON - 35 * DAY
    refused(lambda: send(calls, 1, at=least - 1), "35 days in past.", f"greater than or equal to {least}.")
    refused(lambda: send(calls, 1, at=NOON + 301), "5 minutes in the future")


@pytest.mark.parametrize("value", ["1.5", "", "abc", "1e3", " 1", "+1", "1000000000000000"])
def test_values_are_whole_numbers_of_15_digits(meter: Callable[..., Any], send: Callable[..., Any], value: str) -> None:
    refused(lambda: send(meter(), value), "value")


def test_what_fits_15_digits_is_counted_exactly(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter()
    send(calls, 999_999_999_999_999)
    assert stand_in.values()[customer, calls.event_name, TODAY] == 999_999_999_999_999


def test_unknown_customers_and_meters_are_refused(
    api: stripe.StripeClient, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter()
    refused(lambda: send(calls, 1, of="cus_nobody"), "No such customer")
    refused(lambda: send(calls, 1, identifier="x" * 101), "at most 100")
    api.v1.billing.meters.deactivate(calls.id)
    refused(lambda: send(calls, 1), "inactive")
    api.v1.billing.meters.reactivate(calls.id)
    send(calls, 1)
    api.v1.customers.delete(customer)
    refused(lambda: send(calls, 1), "No such customer")


def test_one_active_meter_has_an_event_name_and_it_never_changes(
    api: stripe.StripeClient, meter: Callable[..., Any]
) -> None:
    calls = meter()
    same: Any = {"display_name": "x", "event_name": calls.event_name, "default_aggregation": {"formula": "sum"}}
    refused(lambda: api.v1.billing.meters.create(same), "already an active meter")
    assert api.v1.billing.meters.update(calls.id, {"display_name": "New"}).display_name == "New"
    wrong: Any = {"event_time_window": "hour"}
    refused(lambda: api.v1.billing.meters.update(calls.id, wrong), "unknown parameter")
    api.v1.billing.meters.deactivate(calls.id)
    api.v1.billing.meters.create(same)
    refused(lambda: api.v1.billing.meters.reactivate(calls.id), "already an active meter")


def test_a_second_call_for_a_customer_and_meter_at_the_same_time_is_answered_429(
    stand_in: StandIn, meter: Callable[..., Any], send: Callable[..., Any], api: stripe.StripeClient
) -> None:
    stand_in.settings(event_seconds=0.5)
    calls, others = meter(), api.v1.customers.create({"name": "Other"}).id
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send, calls, value) for value in (1, 2, 3)]
        beside = pool.submit(send, calls, 4, of=others)
        failures = [each.exception() for each in sent]
    assert beside.result().object == "billing.meter_event"
    locked = [each for each in failures if each is not None]
    assert len(locked) == 2
    for error in locked:
        assert isinstance(error, stripe.RateLimitError)
        assert told(error) == ("lock_timeout", "true")


def test_more_requests_than_the_rate_are_answered_429(stand_in: StandIn, api: stripe.StripeClient) -> None:
    stand_in.settings(requests_per_second=0.001)
    with suppress(stripe.RateLimitError):
        api.v1.customers.list()  # may be the one that was allowed
    with pytest.raises(stripe.RateLimitError) as raised:
        api.v1.customers.list()
    assert told(raised.value) == ("rate_limit", "false")


def test_summaries_are_aligned_grouped_and_paged(
    api: stripe.StripeClient, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter()
    for days in range(30):
        send(calls, days + 1, at=TODAY - days * DAY)
    span: Any = {"customer": customer, "start_time": TODAY - 29 * DAY, "end_time": TODAY + DAY}
    summaries = api.v1.billing.meters.event_summaries
    grouped = summaries.list(calls.id, span | {"value_grouping_window": "day", "limit": 7})
    assert len(grouped.data) == 7
    found = {each.start_time: each.aggregated_value for each in grouped.auto_paging_iter()}
    assert found == {TODAY - days * DAY: days + 1.0 for days in range(30)}
    assert all(isinstance(value, float) for value in found.values())
    [whole] = summaries.list(calls.id, span).data
    assert whole.aggregated_value == sum(range(31))
    for field, wrong in (("start_time", TODAY - DAY + 3_600), ("end_time", TODAY + 60)):
        unaligned = span | {"value_grouping_window": "day", field: wrong}
        refused(lambda unaligned=unaligned: summaries.list(calls.id, unaligned), "aligned")  # type: ignore[misc]
    refused(lambda: summaries.list(calls.id, span | {"end_time": TODAY + 1}), "minute")
    refused(lambda: summaries.list(calls.id, span | {"limit": 101}), "100")


def test_summaries_may_lag_behind(
    stand_in: StandIn, api: stripe.StripeClient, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    stand_in.settings(summary_delay=120)
    calls = meter()
    send(calls, 5)
    span: Any = {"customer": customer, "start_time": TODAY, "end_time": TODAY + DAY}
    assert api.v1.billing.meters.event_summaries.list(calls.id, span).data[0].aggregated_value == 0
    stand_in.advance(120)
    assert api.v1.billing.meters.event_summaries.list(calls.id, span).data[0].aggregated_value == 5


def test_an_event_is_cancelled_within_a_day_of_its_receipt(
    stand_in: StandIn, api: stripe.StripeClient, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter(None)
    first, second = send(calls, 10, at=TODAY), send(calls, 5, at=TODAY)

    def cancel(identifier: str) -> Any:
        return api.v1.billing.meter_event_adjustments.create(
            {"event_name": calls.event_name, "type": "cancel", "cancel": {"identifier": identifier}}
        )

    assert cancel(first.identifier).status == "complete"
    assert stand_in.values()[customer, calls.event_name, TODAY] == 5
    refused(lambda: cancel(first.identifier), "already cancelled")
    refused(lambda: cancel("never-sent"), "No meter event found")
    stand_in.advance(DAY + 1)
    refused(lambda: cancel(second.identifier), "24 hours")


def test_what_it_does_not_have_it_refuses(stand_in: StandIn, api: stripe.StripeClient) -> None:
    error = refused(lambda: api.v1.coupons.list(), "Unrecognized request URL (GET: /v1/coupons)")
    assert error.http_status == 404
    refused(lambda: api.v1.customers.create({"balance": 5}), "balance")
    refused(lambda: api.raw_request("post", "/v1/subscription_items/si_1/usage_records"), "Unrecognized")
    with pytest.raises(stripe.AuthenticationError):
        stand_in.client(key="sk_live_x").v1.customers.list()
    with pytest.raises(stripe.PermissionError):
        api.v1.customers.list(options={"stripe_account": "acct_other"})
