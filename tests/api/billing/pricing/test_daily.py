"""Days sum to what the period comes to, whatever the price does in between."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.daily import daily_base_fees, daily_costs, in_units
from meterline_api.billing.pricing.money import Rounding, minor_digits, rounded
from meterline_api.billing.pricing.rating import rate
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.catalog import Charge, Plan, PlanVersion
from meterline_schemas.catalog.price import Graduated, PerUnit, Tier, Volume
from tests.api.billing.pricing.choices import END, FEW, MONEY, RISING, SHARES, START, charges

DAYS = st.lists(st.decimals(0, 10, places=3), min_size=1, max_size=31)


@FEW
@given(charges(), DAYS, SHARES)
def test_days_sum_to_the_amount_before_it_is_rounded(charge: Charge, used: list[Decimal], share: Fraction) -> None:
    cumulative = list(accumulate(used))
    found = daily_costs(charge, cumulative, share)
    assert len(found) == len(used)
    assert sum(found) == rate(charge, cumulative[-1], share).exact


@FEW
@given(charges(), st.lists(st.decimals(0, 30, places=3), min_size=1, max_size=31))
def test_days_of_what_does_not_add_up_sum_to_the_amount_too(charge: Charge, so_far: list[Decimal]) -> None:
    """A mean of the period until each day, say, which goes up and down."""
    assert sum(daily_costs(charge, so_far)) == rate(charge, so_far[-1]).exact


@FEW
@given(charges(RISING), DAYS, SHARES)
def test_no_day_is_below_zero_where_more_costs_no_less(charge: Charge, used: list[Decimal], share: Fraction) -> None:
    assert min(daily_costs(charge, accumulate(used), share)) >= 0


@FEW
@given(charges(), DAYS, st.sampled_from(["USD", "JPY", "KWD"]), st.sampled_from(Rounding))
def test_days_in_whole_units_sum_to_the_line_of_the_invoice(
    charge: Charge, used: list[Decimal], currency: str, rounding: Rounding
) -> None:
    cumulative = list(accumulate(used))
    exact = daily_costs(charge, cumulative)
    found = in_units(exact, currency, rounding)
    assert sum(found) == rate(charge, cumulative[-1]).amount(currency, rounding)
    smallest = Fraction(1, 10 ** minor_digits(currency))
    for told, cost in zip(found, exact, strict=True):
        assert abs(Fraction(told) - cost) <= smallest
        assert told.as_tuple().exponent == -minor_digits(currency)


def test_the_day_on_which_a_tier_is_reached_has_its_flat_and_the_first_has_the_minimum() -> None:
    tiers = Tier(up_to=Decimal(10), unit_price=Decimal(1)), Tier(unit_price=Decimal("0.5"), flat=Decimal(3))
    used = [Decimal(8), Decimal(12), Decimal(14)]
    least = Charge(metric="m", price=PerUnit(unit_price=Decimal(1)), minimum=Decimal(10))
    for charge, wanted in (
        (Charge(metric="m", price=Graduated(tiers=tiers)), "8 6 1"),
        (Charge(metric="m", price=Volume(tiers=tiers)), "8 1 1"),
        (least, "10 2 2"),
    ):
        assert " ".join(map(str, daily_costs(charge, used))) == wanted


@FEW
@given(MONEY, st.integers(0, 700), st.integers(1, 700), st.sampled_from(Rounding))
def test_the_base_fee_is_spread_over_the_days_of_its_segment(
    fee: Decimal, begin: int, hours: int, rounding: Rounding
) -> None:
    plan = Plan(id="p", currency="USD", versions=(PlanVersion(base_fee=fee),))
    start = START + timedelta(hours=begin)
    end = min(start + timedelta(hours=hours), END)
    share = Fraction((end - start) // timedelta(hours=1), 30 * 24)
    days = [(START + timedelta(days=day), START + timedelta(days=day + 1)) for day in range(30)]
    found = daily_base_fees(Segment(plan, plan.versions[0], start, end, share), days)
    assert sum(found) == Fraction(fee) * share
    assert sum(in_units(found, "USD", rounding)) == rounded(Fraction(fee) * share, "USD", rounding)
    for (first, following), cost in zip(days, found, strict=True):
        within = max(min(end, following) - max(start, first), timedelta(0))
        assert cost == Fraction(fee) * (within // timedelta(hours=1)) / (30 * 24)
