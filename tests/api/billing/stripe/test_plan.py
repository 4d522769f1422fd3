"""What is due, against a model that looks at one day after the other; and the values of days."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.stripe.days import HOUR_MS, DayTotal, beyond_included, value_of
from meterline_api.billing.stripe.errors import NotWholeError, TooManyDigitsError
from meterline_api.billing.stripe.plan import (
    Due,
    Problem,
    Reason,
    Step,
    Trouble,
    due,
    nearly_too_old,
    timestamp,
    too_old,
)
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.catalog.plan import Measure
from meterline_schemas.catalog.stripe_meter import IncludedMode, StripeMeter
from meterline_schemas.quantity import NANO

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
TODAY = NOW.date()


def meter(metric: str = "orders", **more: Any) -> StripeMeter:
    return StripeMeter.model_validate({"metric": metric, "meter": f"mtr_{metric}", "event_name": metric, **more})


METERS = {name: meter(name) for name in ("calls", "orders")}
CUSTOMERS = {"a": "cus_a", "b": "cus_b"}

days = st.integers(-1, 45).map(lambda back: TODAY - timedelta(days=back))
whose = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["calls", "orders", "others"]), days)
amounts = st.sampled_from([0, 2, 4, 6, -2, 1]).map(lambda halves: halves * NANO // 2)
rows = st.fixed_dictionaries(
    {
        "place": st.sampled_from([None, None, None, ("cus_old", "mtr_orders"), ("cus_a", "mtr_old")]),
        "revision": st.integers(1, 3),
        "value": st.integers(-1, 3),
        "state": st.sampled_from(PushState),
    }
)


def row(tenant: str, metric: str, day: date, **fields: Any) -> Push:
    place = fields.pop("place") or (CUSTOMERS.get(tenant, "cus_c"), f"mtr_{metric}")
    customer, meter = place
    return Push(customer, meter, day, fields["revision"], fields["value"], tenant, metric, fields["state"], NOW)


def naive(total: DayTotal, ledger: list[Push]) -> list[Any]:
    """What is due of one day, in the words of the promise."""
    tenant, metric, day = total[:3]
    if metric not in METERS or tenant not in CUSTOMERS or day > TODAY:
        return []
    if total.amount % NANO:
        return [Trouble.NOT_TAKEN]
    value = total.amount // NANO
    of = [push for push in ledger if (push.tenant_id, push.metric, push.day) == (tenant, metric, day)]
    here = [push for push in of if (push.customer, push.meter) == (CUSTOMERS[tenant], f"mtr_{metric}")]
    there = [push for push in of if push not in here and push.value and push.state != "refused"]
    if there:
        return [Trouble.MOVED] if min(there, key=lambda push: (push.customer, push.meter)).value != value else []
    if not here and (value == 0 and not of):
        return []
    if here and (here[0].state == "intent" or (here[0].state == "delivered" and here[0].value == value)):
        return []
    age = NOW - datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    if age > timedelta(days=35):
        return [Trouble.TOO_OLD]
    reason = Reason.NEW if not here else Reason.AGAIN if here[0].state == "refused" else Reason.CHANGED
    found = [(reason, value, here[0].revision + 1 if here else 1)]
    return [Trouble.NEARLY_TOO_OLD, *found] if age >= timedelta(days=31, hours=12) else found


@given(st.dictionaries(whose, amounts, max_size=12), st.dictionaries(whose, rows, max_size=12), st.data())
def test_what_is_due_is_what_one_look_at_each_day_finds(
    used: dict[tuple[str, str, date], int], told: dict[tuple[str, str, date], Any], data: st.DataObject
) -> None:
    for key in used:  # both sides know some of the same days
        if key not in told and data.draw(st.booleans()):
            told[key] = data.draw(rows)
    totals = [DayTotal(*key, amount) for key, amount in sorted(used.items())]
    ledger = [row(*key, **fields) for key, fields in sorted(told.items())]
    steps = list(due(iter(totals), iter(ledger), METERS, CUSTOMERS.get, NOW))
    expected = [(total[:3], each) for total in totals for each in naive(total, ledger)]
    assert [_seen(step) for step in steps] == expected


def _seen(step: Step) -> Any:
    if isinstance(step, Problem):
        return (step.tenant_id, step.metric, step.day), step.trouble
    push = step.push
    assert (push.customer, push.meter) == (CUSTOMERS[push.tenant_id], f"mtr_{push.metric}")
    assert push.state is PushState.INTENT
    return (push.tenant_id, push.metric, push.day), (step.reason, push.value, push.revision)


@given(days, st.integers(0, 90 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds - 30 * 86_400)))
def test_a_timestamp_lies_inside_its_day_and_not_ahead(day: date, at: datetime) -> None:
    push = Push("cus", "mtr", day, 1, 1, "t", "orders", PushState.INTENT, at)
    found = timestamp(push)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert start < found < start + timedelta(days=1)
    if day <= at.date():
        assert found <= max(at, start + timedelta(seconds=1))
    if not too_old(day, at):
        assert found >= at - timedelta(days=35)


@given(days, st.integers(0, 24 * 3600 - 1), st.integers(0, 40))
def test_a_day_is_near_from_a_midnight_on_and_never_one_of_a_month_that_just_ended(
    day: date, seconds: int, age: int
) -> None:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=age, seconds=seconds)
    assert nearly_too_old(day, at) == (age > 31), "31 days in a row and today itself are never near"


def test_what_is_finer_than_the_scale_or_longer_than_15_digits_is_refused_by_name() -> None:
    half = DayTotal("t", "orders", TODAY, NANO // 2)
    with pytest.raises(NotWholeError, match="greater `scale`"):
        value_of(half, meter())
    assert value_of(half, meter(scale=1)) == 5
    most = DayTotal("t", "orders", TODAY, (10**15 - 1) * NANO)
    assert value_of(most, meter()) == 10**15 - 1
    with pytest.raises(TooManyDigitsError, match="smaller `scale`"):
        value_of(most, meter(scale=1))


@given(st.integers(-(10**20), 10**20), st.integers(0, 6), st.sampled_from(Measure))
def test_the_day_of_a_gauge_is_rounded_once_half_to_even(amount: int, scale: int, measure: Measure) -> None:
    total = DayTotal("t", "disk", date(2026, 2, 3), amount, NANO * HOUR_MS)
    exact = Fraction(amount, NANO * HOUR_MS) * 10**scale
    if measure is Measure.UNIT_MONTHS:
        exact /= 28 * 24
    assert value_of(total, meter("disk", scale=scale, measure=measure)) == round(exact)


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=28), min_size=1, max_size=3), st.integers(0, 300))
def test_the_overage_of_the_days_sums_to_that_of_the_month(months: list[list[int]], included: int) -> None:
    meters = {"orders": meter(included=IncludedMode.OVERAGE_ONLY)}
    totals = [
        DayTotal("t", "orders", date(2026, 1 + number, 1 + day), used * NANO)
        for number, month in enumerate(months)
        for day, used in enumerate(month)
    ]
    found = list(beyond_included(totals, meters, lambda *_: Decimal(included)))
    assert [each[:3] for each in found] == [each[:3] for each in totals]
    assert all(each.amount >= 0 for each in found)
    for number, month in enumerate(months):
        of_month = [each.amount for each in found if each.day.month == 1 + number]
        assert sum(of_month) == max(sum(month) - included, 0) * NANO


def test_a_plan_of_many_tenants_is_walked_not_held() -> None:
    count = 20_000

    def totals() -> Iterator[DayTotal]:
        return (DayTotal(f"t{n:07d}", "orders", TODAY, n * NANO) for n in range(1, count))

    def ledger() -> Iterator[Push]:
        for n in range(1, count, 2):
            yield Push(f"cus_{n}", "mtr_orders", TODAY, 1, n, f"t{n:07d}", "orders", PushState.DELIVERED, NOW)

    tracemalloc.start()
    found = sum(isinstance(step, Due) for step in due(totals(), ledger(), METERS, lambda id: f"cus_{int(id[1:])}", NOW))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == count // 2 - 1 + count % 2
    assert peak < 2_000_000
