"""What a period will come to: at its own pace, by weekday once eight weeks are known, and never below what it is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.bill import Part, Usage, bill
from meterline_api.billing.pricing.projection import Linear, Weekdays, pace, projected_bill, projected_quantity
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.catalog import Aggregation, Charge, Plan, PlanVersion
from meterline_schemas.catalog.price import PerUnit, Tier, Volume
from tests.api.billing.pricing.choices import END, FEW, MONEY, START, charges

QUANTITY = st.decimals(0, 10**9, places=9)
ADDS_UP = st.sampled_from([Aggregation.SUM, Aggregation.COUNT, Aggregation.TIME_WEIGHTED])
INTO = st.timedeltas(timedelta(0), timedelta(days=30)).map(lambda found: START + found)
NANO = Fraction(1, 2 * 10**9)


def weeks(now: datetime, count: int, workday: int, weekend: int) -> dict[date, Decimal]:
    days = [now.date() - timedelta(days=back) for back in range(1, 7 * count + 1)]
    return {day: Decimal(weekend if day.weekday() >= 5 else workday) for day in days}


@FEW
@given(ADDS_UP, QUANTITY, INTO, st.integers(0, 7))
def test_until_eight_weeks_are_known_usage_goes_on_as_it_did(
    aggregation: Aggregation, quantity: Decimal, now: datetime, known: int
) -> None:
    going_on = pace(aggregation, quantity, START, END, now, weeks(now, known, 100, 1))
    found = projected_quantity(quantity, going_on, START, END, now)
    elapsed = max(now - START, timedelta(hours=1))
    microseconds = Fraction((END - START) // timedelta.resolution, elapsed // timedelta.resolution)
    assert abs(Fraction(found) - Fraction(quantity) * microseconds) <= NANO


@FEW
@given(ADDS_UP, QUANTITY, st.integers(0, 30), st.integers(0, 23), st.integers(0, 1000), st.integers(0, 1000))
def test_with_eight_weeks_known_every_day_to_come_is_like_its_weekday(
    aggregation: Aggregation, quantity: Decimal, day: int, hour: int, workday: int, weekend: int
) -> None:
    now = min(START + timedelta(days=day, hours=hour), END)
    going_on = pace(aggregation, quantity, START, END, now, weeks(now, 8, workday, weekend))
    found = projected_quantity(quantity, going_on, START, END, now)
    wanted = Fraction(quantity)
    for number in range((END - now) // timedelta(hours=1)):
        of = now + timedelta(hours=number)
        wanted += Fraction(weekend if of.weekday() >= 5 else workday, 24)
    assert abs(Fraction(found) - wanted) <= NANO


def test_a_mean_is_of_the_last_eight_weeks_alone_and_a_day_without_usage_counts() -> None:
    now = datetime(2026, 11, 16, tzinfo=UTC)  # a Monday
    monday = now.date() - timedelta(days=7)
    history = {now.date() - timedelta(days=70): Decimal(10**6), monday: Decimal(8)}
    going_on = pace(Aggregation.SUM, Decimal(0), START, END, now, history)
    assert isinstance(going_on, Weekdays)
    assert list(map(str, going_on.means)) == ["1", "0", "0", "0", "0", "0", "0"]


def test_weekdays_are_those_of_the_time_zone() -> None:
    now = datetime(2026, 11, 15, 12, tzinfo=UTC)  # a Sunday; in Auckland, 13 hours ahead, Monday has begun
    history = {date(2026, 11, 16) - timedelta(weeks=back): Decimal(24) for back in range(1, 9)}  # eight weeks, there
    going_on = pace(Aggregation.SUM, Decimal(0), START, END, now, history, "Pacific/Auckland")
    assert going_on.between(now, now + timedelta(hours=23)) == 23
    assert going_on.between(now + timedelta(hours=23), now + timedelta(hours=100)) == 0
    history[date(2026, 9, 14)] = Decimal(24)
    going_on = pace(Aggregation.SUM, Decimal(0), START, END, now, history)
    assert going_on.between(now, now + timedelta(hours=12)) == 0
    assert going_on.between(now + timedelta(hours=12), now + timedelta(hours=36)) == 24


def test_a_day_with_a_leap_of_the_clock_is_one_day() -> None:
    means = tuple(Fraction(25) for _ in range(7))
    day = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert Weekdays(means, "Europe/Vienna").between(*day) == 25
    assert Weekdays(means, "Europe/Vienna").between(day[0], day[0] + timedelta(hours=5)) == 5


@pytest.mark.parametrize("aggregation", sorted(set(Aggregation) - {"sum", "count", "time_weighted"}))
def test_what_does_not_add_up_stays_as_it_is(aggregation: Aggregation) -> None:
    now = START + timedelta(days=3)
    going_on = pace(aggregation, Decimal(7), START, END, now, weeks(now, 8, 100, 100))
    assert projected_quantity(Decimal(7), going_on, START, END, now) == 7


@FEW
@given(st.decimals(-100, 100, places=3), INTO, st.integers(-50, 50))
def test_no_projection_is_below_what_there_is(quantity: Decimal, now: datetime, daily: int) -> None:
    for history in ({}, weeks(now, 8, daily, daily)):
        going_on = pace(Aggregation.SUM, quantity, START, END, now, history)
        assert projected_quantity(quantity, going_on, START, END, now) >= quantity


def test_a_segment_that_is_over_stays_and_one_ahead_has_what_is_to_come() -> None:
    now = START + timedelta(days=10)
    going_on = pace(Aggregation.SUM, Decimal(100), START, END, now)
    assert isinstance(going_on, Linear)
    cut = START + timedelta(days=20)
    assert projected_quantity(Decimal(60), going_on, START, START + timedelta(days=5), now) == 60
    assert projected_quantity(Decimal(40), going_on, START + timedelta(days=5), cut, now) == 140
    assert projected_quantity(Decimal(0), going_on, cut, END, now) == 100


def test_what_is_over_is_not_projected() -> None:
    going_on = pace(Aggregation.SUM, Decimal(5), START, END, END + timedelta(days=1), weeks(END, 8, 1, 1))
    assert projected_quantity(Decimal(5), going_on, START, END, END + timedelta(days=1)) == 5


@FEW
@given(charges(), MONEY, st.decimals(0, 20, places=3), st.decimals(0, 20, places=3))
def test_a_projected_bill_has_the_same_base_fee_and_no_line_below_the_current_one(
    charge: Charge, fee: Decimal, used: Decimal, more: Decimal
) -> None:
    plan = Plan(id="p", currency="USD", versions=(PlanVersion(base_fee=fee, charges=(charge,)),))
    segment = Segment(plan, plan.versions[0], START, END, Fraction(1))
    now: list[Part] = [(segment, {"orders": Usage(used)})]
    then: list[Part] = [(segment, {"orders": Usage(used + more)})]
    current, found, unbounded = bill(now), projected_bill(now, then), bill(then)
    assert sum(line.amount for line in found.lines) == found.total >= current.total
    for line, before, after in zip(found.lines, current.lines, unbounded.lines, strict=True):
        assert line.amount == max(before.amount, after.amount)
        if line.kind == "base_fee":
            assert line.amount == before.amount


def test_where_more_costs_less_one_line_stays_and_the_others_go_on() -> None:
    cheaper = Tier(up_to=Decimal(10), unit_price=Decimal(1)), Tier(unit_price=Decimal("0.1"))
    orders = Charge(metric="orders", price=Volume(tiers=cheaper))
    calls = Charge(metric="calls", price=PerUnit(unit_price=Decimal(1)))
    plan = Plan(id="p", currency="USD", versions=(PlanVersion(charges=(orders, calls)),))
    segment = Segment(plan, plan.versions[0], START, END, Fraction(1))
    now, then = ({metric: Usage(Decimal(each)) for metric in ("orders", "calls")} for each in (10, 20))
    now["calls"] = Usage(Decimal(1))
    found = projected_bill([(segment, now)], [(segment, then)])
    assert [(line.metric, str(line.amount)) for line in found.lines] == [("orders", "10.00"), ("calls", "20.00")]


def test_a_third_into_the_month_usage_triples_and_the_base_fee_does_not() -> None:
    plan = Plan(
        id="p",
        currency="USD",
        versions=(
            PlanVersion(base_fee=Decimal(199), charges=(Charge(metric="m", price=PerUnit(unit_price=Decimal("0.1"))),)),
        ),
    )
    segment = Segment(plan, plan.versions[0], START, END, Fraction(1))
    now = START + timedelta(days=10)
    going_on = pace(Aggregation.COUNT, Decimal(400), START, END, now)
    then = projected_quantity(Decimal(400), going_on, START, END, now)
    found = projected_bill([(segment, {"m": Usage(Decimal(400))})], [(segment, {"m": Usage(then)})])
    assert str(found.total) == "319.00"
    assert projected_bill([], []).currency is None
