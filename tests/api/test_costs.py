"""What usage costs under a flat price: exact, rounded once, projected to the end and never below what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.documents.costs import (
    change,
    cost_of,
    exact_cost,
    mean_level,
    minor_digits,
    projected,
    rounded,
    unit_months,
)
from meterline_schemas.catalog import Aggregation, Quota

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
AMOUNT = st.decimals(0, 10**12, places=9)
ADDS_UP = st.sampled_from([Aggregation.SUM, Aggregation.COUNT, Aggregation.TIME_WEIGHTED])


def quota(included: Decimal, price: Decimal | None, currency: str | None) -> Quota:
    return Quota(metric="m", included=included, price_per_unit=price, currency=currency)


@given(AMOUNT, AMOUNT, AMOUNT, st.sampled_from(["EUR", "JPY", "KWD"]))
def test_a_line_is_what_lies_beyond_the_included_times_its_price_rounded_once(
    used: Decimal, included: Decimal, price: Decimal, currency: str
) -> None:
    found = cost_of(quota(included, price, currency), used)
    over = max(Fraction(used) - Fraction(included), Fraction(0))
    assert Fraction(found.overage) == over
    assert found.amount is not None
    smallest = Fraction(1, 10 ** minor_digits(currency))
    assert abs(Fraction(found.amount) - over * Fraction(price)) <= smallest / 2
    assert found.amount.as_tuple().exponent == -minor_digits(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "wanted"),
    [
        ("0.005", "EUR", "0.00"),
        ("0.015", "EUR", "0.02"),
        ("0.5", "JPY", "0"),
        ("1.5", "JPY", "2"),
        ("0.0015", "KWD", "0.002"),
    ],
)
def test_half_of_the_smallest_unit_goes_to_the_even_one(amount: str, currency: str, wanted: str) -> None:
    assert str(rounded(Decimal(amount), currency)) == wanted


def test_fifty_thousand_calls_at_a_cent_per_thousand_are_half_a_dollar_and_not_nothing() -> None:
    price = Decimal("0.00001")
    assert exact_cost(price, Decimal(1)) == price
    assert cost_of(quota(Decimal(0), price, "USD"), Decimal(50_000)).amount == Decimal("0.50")


def test_without_a_quota_or_a_price_there_is_no_amount() -> None:
    assert cost_of(None, Decimal(7)) == (Decimal(7), None, Decimal(0), None, None, None)
    free = cost_of(quota(Decimal(5), None, None), Decimal(7))
    assert (free.overage, free.amount) == (Decimal(2), None)


@given(ADDS_UP, AMOUNT, st.timedeltas(timedelta(0), timedelta(days=31)))
def test_a_projection_goes_on_at_the_same_rate_to_the_real_end(
    aggregation: Aggregation, quantity: Decimal, into: timedelta
) -> None:
    now = START + into
    found = projected(aggregation, quantity, START, END, now)
    assert found >= quantity
    if now >= END:
        assert found == quantity
    else:
        elapsed = max(now - START, timedelta(hours=1))
        wanted = (
            Fraction(quantity)
            * Fraction((END - START) // timedelta(microseconds=1))
            / (elapsed // timedelta(microseconds=1))
        )
        assert abs(Fraction(found) - wanted) <= Fraction(1, 2 * 10**9)


@pytest.mark.parametrize("aggregation", sorted(set(Aggregation) - {"sum", "count", "time_weighted"}))
def test_what_does_not_add_up_stays_as_it_is(aggregation: Aggregation) -> None:
    assert projected(aggregation, Decimal(7), START, END, START + timedelta(days=1)) == 7


def test_what_goes_down_is_not_projected_below_what_it_is() -> None:
    assert projected(Aggregation.SUM, Decimal(-7), START, END, START + timedelta(days=1)) == -7


def test_a_level_that_held_all_month_is_as_many_unit_months_however_long_the_month() -> None:
    for year, month, days in ((2026, 2, 28), (2024, 2, 29), (2026, 11, 30), (2026, 12, 31)):
        start = datetime(year, month, 1, tzinfo=UTC)
        assert unit_months([(start, Decimal(45 * 24 * days))]) == 45
        assert unit_months([(start + timedelta(days=3), Decimal(45 * 12 * days))]) == Decimal("22.5")


@given(st.integers(1, 10**12), st.integers(1, 31 * 24 * 3_600_000))
def test_a_level_that_did_not_change_is_its_own_mean_after_however_many_milliseconds(level: int, held: int) -> None:
    unit_hours = Decimal(level * held)
    until = START + timedelta(milliseconds=held)
    assert mean_level(unit_hours, START, until) == level * 3_600_000


def test_a_mean_is_exact_however_large() -> None:
    level = Decimal("19999999999999999999.999999999")
    assert mean_level(Decimal("13999999999999999999999.9999993"), START, START + timedelta(hours=700)) == level


@pytest.mark.parametrize(
    ("now", "before", "wanted"), [("115", "100", "15"), ("98", "100", "-2"), ("1", "3", "-66.67"), ("5", "0", None)]
)
def test_a_change_is_in_percent_of_what_was(now: str, before: str, wanted: str | None) -> None:
    assert change(Decimal(now), Decimal(before)) == (None if wanted is None else Decimal(wanted))


@given(AMOUNT, AMOUNT.filter(bool))
def test_a_change_is_rounded_once(now: Decimal, before: Decimal) -> None:
    found = change(now, before)
    assert found is not None
    exact = (Fraction(now) - Fraction(before)) / Fraction(before) * 100
    assert abs(Fraction(found) - exact) <= Fraction(1, 200)
    assert found == found.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
