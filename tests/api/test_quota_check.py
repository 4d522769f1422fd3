"""What is left of a quota, against plain decimals, from catalog and counters in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.quotas.check import Found, QuotaStatus, check, refusals
from meterline_api.quotas.models import ANSWERS, QuotaStatusModel, ThresholdStatusModel
from meterline_schemas.catalog import Action, Aggregation, Book, Metric, Quota, Tenant, Threshold
from meterline_schemas.counter import CounterKey, Parts
from meterline_schemas.quantity import LIMIT, NANO, format_nano

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 12, 1, tzinfo=UTC)
CHANGED = datetime(2026, 11, 7, tzinfo=UTC)


class InMemory:
    """Parts by key; remembers what was asked for."""

    def __init__(self, parts: Mapping[CounterKey, Parts], complete: bool = True) -> None:
        self._parts = parts
        self._complete = complete
        self.asked: list[tuple[CounterKey, datetime, datetime | None]] = []

    def find(self, key: CounterKey, end: datetime, changed_at: datetime | None) -> Found | None:
        self.asked.append((key, end, changed_at))
        parts = self._parts.get(key)
        return None if parts is None else Found(parts, self._complete)


def metric(aggregation: Aggregation = Aggregation.SUM, **more: Any) -> Metric:
    given = {"key": "orders", "unit": "order", "aggregation": aggregation, **more}
    if aggregation is Aggregation.UNIQUE_COUNT:
        given["unique_by"] = "subject"
    return Metric.model_validate(given)


def book(*entries: Metric | Quota | Threshold | Tenant) -> Book:
    found = Book()
    for entry in entries:
        assert found.apply(entry.record_key, entry.encode()) is None
    return found


def quota(included: str = "50", **more: Any) -> Quota:
    return Quota.model_validate({"metric": "orders", "tenant_id": "acme", "included": included, **more})


def threshold(id: str = "stop", **more: Any) -> Threshold:
    return Threshold.model_validate({"id": id, "metric": "orders", "tenant_id": "acme", **more})


def key(subject: str = "", calendar: str = "monthly", start: datetime = MONTH) -> CounterKey:
    return CounterKey("acme", "orders", subject, calendar, start)


def total(amount: str, count: int = 1) -> Parts:
    return Parts(count=count, sum=amount, min=amount, max=amount, last=amount)


def ask(found: Book, parts: Mapping[CounterKey, Parts] = {}, subject: str = "", complete: bool = True) -> QuotaStatus:
    return check(found, InMemory(parts, complete), "acme", found.metrics["orders"], subject, NOW)


def why(found: Book, parts: Mapping[CounterKey, Parts] = {}) -> list[str]:
    """Why no more may be used."""
    asked = refusals(found, InMemory(parts), "acme", found.metrics["orders"], "", NOW)
    return [refusal.detail for refusal in asked]


def test_beyond_a_quota_of_50_at_a_price_of_5_cents_75_cost_1_25() -> None:
    status = ask(book(metric(), quota(price_per_unit="0.05", currency="EUR")), {key(): total("75")})
    assert (status.used, status.included, status.remaining) == ("75", "50", "0")
    assert (status.overage, status.overage_amount, status.currency) == ("25", "1.25", "EUR")
    assert (status.has_quota, status.unlimited, status.blocked, status.percent) == (False, False, False, "150")
    assert (status.period, status.period_start, status.resets_at) == ("monthly", MONTH, NEXT_MONTH)
    assert not status.provisional


@given(
    st.integers(-(LIMIT * NANO), 10 * LIMIT * NANO), st.integers(0, LIMIT * NANO - 1), st.integers(0, LIMIT * NANO - 1)
)
def test_every_amount_is_the_exact_decimal(used: int, included: int, price: int) -> None:
    terms = quota(format_nano(included), price_per_unit=format_nano(price), currency="USD")
    status = ask(book(metric(allow_negative=True), terms), {key(): total(format_nano(used))})
    with localcontext(prec=200):
        amount, limit, unit = (Decimal(number) / NANO for number in (used, included, price))
        over = max(amount - limit, Decimal(0))
        assert Decimal(status.used or "") == amount
        assert Decimal(status.remaining or "") == max(limit - amount, Decimal(0))
        assert Decimal(status.overage) == over
        assert Decimal(status.overage_amount or "") == over * unit
        assert status.has_quota == (amount < limit)
        if included:
            shown = Decimal(status.percent or "")
            assert shown == (amount * 100 / limit).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
        else:
            assert status.percent == ("100" if used > 0 else "0")
    for text in (status.used, status.remaining, status.overage, status.overage_amount):
        assert text is not None
        assert "e" not in text.lower()
        assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("aggregation", "used"),
    [
        (Aggregation.COUNT, "4"),
        (Aggregation.SUM, "10"),
        (Aggregation.AVG, "2.5"),
        (Aggregation.MIN, "1"),
        (Aggregation.MAX, "5"),
        (Aggregation.LAST, "3.5"),
        (Aggregation.TIME_WEIGHTED, "3.5"),
    ],
)
def test_used_is_the_number_of_the_metric(aggregation: Aggregation, used: str) -> None:
    parts = Parts(count=4, sum="10", min="1", max="5", last="3.5")
    assert ask(book(metric(aggregation), quota()), {key(): parts}).used == used


@pytest.mark.parametrize("aggregation", [Aggregation.UNIQUE_COUNT, Aggregation.P95])
def test_a_metric_that_no_quota_can_be_put_on_is_unlimited(aggregation: Aggregation) -> None:
    found = book(metric(aggregation), quota(), threshold(amount="1", action="block"))
    status = ask(found)
    assert (status.unlimited, status.has_quota, status.used, status.thresholds) == (True, True, None, [])
    assert why(found) == []


def test_without_a_quota_it_is_unlimited_and_says_so() -> None:
    status = ask(book(metric()))
    assert (status.has_quota, status.unlimited, status.used) == (True, True, None)
    assert (status.included, status.remaining, status.percent, status.overage_amount) == (None, None, None, None)


def test_without_a_counter_nothing_was_used() -> None:
    status = ask(book(metric(), quota()))
    assert (status.used, status.remaining, status.has_quota, status.percent) == ("0", "50", True, "0")


def test_the_level_of_a_gauge_goes_on_before_the_stream_has_told_of_the_new_period() -> None:
    before = key(start=datetime(2026, 10, 1, tzinfo=UTC))
    gauge = book(metric(Aggregation.TIME_WEIGHTED), quota())
    assert ask(gauge, {before: total("70")}).used == "70"
    assert ask(gauge, {before: total("70"), key(): total("7")}).used == "7"
    assert ask(book(metric(), quota()), {before: total("70")}).used == "0"


def test_of_nothing_included_nothing_is_left_before_anything_was_used() -> None:
    status = ask(book(metric(), quota("0")))
    assert (status.has_quota, status.remaining, status.percent) == (False, "0", "0")


@pytest.mark.parametrize(("used", "blocked"), [("0", False), ("-1", False), ("0.000000001", True)])
def test_a_threshold_of_nothing_included_is_reached_by_any_usage_as_the_stream_alerts_of_it(
    used: str, blocked: bool
) -> None:
    found = book(metric(allow_negative=True), quota("0"), threshold(action="block"))
    status = ask(found, {key(): total(used)})
    assert (status.thresholds[0].reached, status.blocked) == (blocked, blocked)
    assert bool(why(found, {key(): total(used)})) == blocked


def test_the_tenants_own_quota_stands_before_the_one_for_all() -> None:
    everybody = quota("10", tenant_id="")
    assert ask(book(metric(), everybody)).included == "10"
    assert ask(book(metric(), everybody, quota("20"))).included == "20"


@pytest.mark.parametrize(
    ("period", "zone", "anchor", "calendar", "start", "end"),
    [
        ("daily", "UTC", 1, "daily", datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)),
        ("billing", "UTC", 30, "billing@30", datetime(2026, 10, 30, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)),
        ("monthly", "Asia/Kolkata", 1, "monthly Asia/Kolkata", datetime(2026, 10, 31, 18, 30, tzinfo=UTC),
         datetime(2026, 11, 30, 18, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_usage_is_that_of_the_calendar(
    period: str, zone: str, anchor: int, calendar: str, start: datetime, end: datetime
) -> None:
    tenant = Tenant.model_validate({"id": "acme", "billing_anchor": anchor, "time_zone": zone})
    status = ask(book(metric(), tenant, quota(period=period)), {key(calendar=calendar, start=start): total("7")})
    assert (status.used, status.period, status.period_start, status.resets_at) == ("7", calendar, start, end)


def test_what_never_begins_anew_has_no_end() -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    status = ask(book(metric(), quota(period="never")), {key(calendar="never", start=start): total("7")})
    assert (status.used, status.period_start, status.resets_at) == ("7", None, None)


def test_a_threshold_counts_in_its_own_calendar() -> None:
    today = datetime(2026, 11, 21, tzinfo=UTC)
    found = book(metric(), quota(), threshold(amount="10", period="daily", action="block"))
    status = ask(found, {key(): total("49"), key(calendar="daily", start=today): total("9.999")})
    (state,) = status.thresholds
    assert (status.used, state.used, state.limit, state.percent) == ("49", "9.999", "10", "99.99")
    assert (state.resets_at, state.reached, status.blocked) == (today + timedelta(days=1), False, False)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(("used", "reached"), [("49.999999999", False), ("50", True), ("51", True)])
@pytest.mark.parametrize("amount", [None, "50"])
def test_only_block_blocks_and_from_the_limit_on(action: Action, used: str, reached: bool, amount: str | None) -> None:
    included = "50" if amount is None else "1000"
    found = book(metric(), quota(included), threshold(amount=amount, action=action, steps=["80"]))
    status = ask(found, {key(): total(used)})
    assert status.thresholds[0].reached == reached
    assert status.blocked == (reached and action is Action.BLOCK)
    told = why(found, {key(): total(used)})
    assert bool(told) == status.blocked
    for detail in told:
        assert f"{used} of 50 order" in detail
        assert "2026-12-01T00:00:00Z" in detail


def test_a_threshold_of_a_quota_that_there_is_not_is_never_reached() -> None:
    found = book(metric(), threshold(action="block"))
    status = ask(found, {key(): total("1000000")})
    assert (status.blocked, status.used, status.thresholds[0].limit, status.thresholds[0].used) == (
        False, None, None, None,
    )  # fmt: skip


def test_where_only_a_threshold_has_it_counted_its_usage_is_shown() -> None:
    status = ask(book(metric(), threshold(amount="100")), {key(): total("30")})
    assert (status.unlimited, status.used, status.thresholds[0].percent) == (True, "30", "30")


def test_a_subject_has_a_quota_of_its_own_and_is_blocked_with_its_tenant() -> None:
    found = book(
        metric(), quota("50"), threshold(action="block"), quota("5", subject="user:1"),
        threshold("one", subject="user:1", action="block"),
    )  # fmt: skip
    status = ask(found, {key(): total("50"), key("user:1"): total("2")}, "user:1")
    assert (status.subject, status.used, status.included, status.has_quota) == ("user:1", "2", "5", True)
    assert [(state.subject, state.reached) for state in status.thresholds] == [("user:1", False), ("", True)]
    assert status.blocked
    other = ask(found, {key(): total("49"), key("user:1"): total("5")}, "user:2")
    assert (other.unlimited, other.blocked) == (True, False)
    one = ask(found, {key(): total("49"), key("user:1"): total("5")}, "user:1")
    assert one.blocked
    assert not ask(found, {key(): total("49"), key("user:1"): total("5")}).blocked


def test_a_counter_that_is_not_complete_is_provisional() -> None:
    found = book(metric(), quota())
    assert ask(found, {key(): total("1")}, complete=False).provisional
    assert not ask(found, {key(): total("1")}).provisional


def test_when_something_was_last_changed_is_said_with_the_question() -> None:
    old = CHANGED - timedelta(days=400)
    memory = InMemory({})
    found = book(
        metric(changed_at=old), quota(changed_at=old), threshold(changed_at=CHANGED, amount="1", period="daily")
    )
    check(found, memory, "acme", found.metrics["orders"], "", NOW)
    today = datetime(2026, 11, 21, tzinfo=UTC)
    assert memory.asked == [
        (key(), NEXT_MONTH, old),
        (key(calendar="daily", start=today), today + timedelta(days=1), CHANGED),
    ]


def test_the_answer_is_as_it_is_documented() -> None:
    status = ask(book(metric(), quota(price_per_unit="0.05", currency="EUR"), threshold()), {key(): total("75")})
    written = msgspec.json.decode(msgspec.json.encode(status))
    for found in (written, ANSWERS[200]["content"]["application/json"]["example"]):
        assert list(found) == list(QuotaStatusModel.model_fields)
        assert list(found["thresholds"][0]) == list(ThresholdStatusModel.model_fields)
        QuotaStatusModel.model_validate(found)
