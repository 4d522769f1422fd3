"""A charge comes to what counting unit by unit comes to, whatever its price and however its period is cut."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from meterline_api.billing.pricing.money import Rounding
from meterline_api.billing.pricing.prices import price_of
from meterline_api.billing.pricing.rating import rate, unit_rate
from meterline_schemas.catalog import Charge
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Price, Tier, TieredFlat, Volume
from tests.api.billing.pricing import naive
from tests.api.billing.pricing.choices import FEW, PRICES, RISING, SHARES, charges

TIERS = (
    Tier(up_to=Decimal(100), unit_price=Decimal("0.10"), flat=Decimal(5)),
    Tier(up_to=Decimal(1000), unit_price=Decimal("0.05"), flat=Decimal(3)),
    Tier(unit_price=Decimal("0.01")),
)
FLATS = (Tier(up_to=Decimal(100), flat=Decimal(10)), Tier(flat=Decimal(25)))


def of(price: Price, **fields: Any) -> Charge:
    return Charge(metric="orders", price=price, **fields)


@FEW
@given(charges(), st.integers(0, 250), SHARES)
@example(of(Graduated(tiers=TIERS)), 0, Fraction(1))
def test_a_charge_is_what_counting_unit_by_unit_comes_to(charge: Charge, count: int, share: Fraction) -> None:
    scale = 10 * share.denominator
    assert rate(charge, Fraction(count, scale), share).exact == naive.owed(charge, count, scale, share)


@FEW
@given(PRICES, st.integers(0, 250), SHARES)
def test_a_price_alone_is_what_counting_unit_by_unit_comes_to(price: Price, count: int, share: Fraction) -> None:
    scale = 10 * share.denominator
    assert price_of(price, Fraction(count, scale), share).amount == naive.by_price(price, count, scale, share)


@FEW
@given(st.one_of(charges(RISING)), st.integers(0, 300), st.integers(0, 50), SHARES)
def test_more_usage_costs_no_less_where_prices_do_not_fall_for_all_units(
    charge: Charge, count: int, more: int, share: Fraction
) -> None:
    least, most = (rate(charge, Fraction(each, 10), share) for each in (count, count + more))
    assert least.exact <= most.exact
    for rounding in Rounding:
        assert least.amount("EUR", rounding) <= most.amount("EUR", rounding)


@FEW
@given(charges(), st.integers(0, 300))
def test_more_included_costs_no_more(charge: Charge, count: int) -> None:
    if not isinstance(charge.price, Volume | TieredFlat):
        more = charge.model_copy(update={"included": charge.included + 1})
        assert rate(more, Fraction(count, 10)).exact <= rate(charge, Fraction(count, 10)).exact


@FEW
@given(charges(), st.integers(0, 300), SHARES)
def test_a_charge_lies_between_its_minimum_and_its_cap(charge: Charge, count: int, share: Fraction) -> None:
    exact = rate(charge, Fraction(count, 10), share).exact
    assert exact >= Fraction(charge.minimum or 0) * share
    assert charge.cap is None or exact <= Fraction(charge.cap) * share


@FEW
@given(charges(), st.decimals(0, 100, places=9))
def test_tiers_sum_to_the_price_and_hold_all_that_is_charged(charge: Charge, quantity: Decimal) -> None:
    found = rate(charge, quantity)
    if isinstance(charge.price, Graduated | Volume | TieredFlat):
        assert sum(Fraction(tier.amount) for tier in found.tiers) == found.priced
        assert sum(Fraction(tier.quantity) for tier in found.tiers) == found.quantity - found.included
        for tier in found.tiers:
            assert Fraction(tier.amount) == Fraction(tier.quantity) * Fraction(tier.unit_price) + Fraction(tier.flat)
    else:
        assert found.tiers == ()


@FEW
@given(charges(), st.decimals(-100, 0, places=9), SHARES)
def test_a_quantity_below_zero_is_charged_like_none(charge: Charge, quantity: Decimal, share: Fraction) -> None:
    assert rate(charge, quantity, share).exact == rate(charge, Decimal(0), share).exact
    without = charge.model_copy(update={"minimum": None})
    assert rate(without, quantity, share).exact == 0
    assert rate(without, quantity, share).included == 0


def test_included_minimum_cap_bounds_and_flats_are_for_a_whole_period_and_unit_prices_are_not() -> None:
    half = Fraction(1, 2)
    price = PerUnit(unit_price=Decimal(1))
    assert rate(of(price, included=10), Decimal(20), half).exact == 15
    assert rate(of(price, minimum=10), Decimal(0), half).exact == 5
    assert rate(of(price, cap=10), Decimal(20), half).exact == 5
    assert rate(of(Graduated(tiers=TIERS)), Decimal(51), half).exact == Fraction("9.05")  # 2.5 + 50 x 0.1; 1.5 + 0.05
    assert rate(of(Package(price=Decimal(2), size=Decimal(100))), Decimal(1), half).exact == 2
    (first, second) = rate(of(Graduated(tiers=TIERS)), Decimal(51), half).tiers
    assert (first.quantity, first.flat, first.up_to) == (Decimal(50), Decimal("2.5"), Decimal(50))
    assert (second.quantity, second.amount, second.up_to) == (Decimal(1), Decimal("1.55"), Decimal(500))


def test_what_changed_the_amount_of_the_price_is_said() -> None:
    charge = of(PerUnit(unit_price=Decimal(1)), discount_percent=10, minimum=20, cap=50)
    assert rate(charge, Decimal(1)).notes == ("less 10 %", "minimum of 20")
    assert rate(charge, Decimal(30)).notes == ("less 10 %",)
    assert rate(charge, Decimal(100), Fraction(1, 3)).notes == ("less 10 %", "no more than 16.666666667")
    assert rate(of(PerUnit(unit_price=Decimal(1))), Decimal(1)).notes == ()


def test_the_effective_rate_is_what_a_unit_came_to() -> None:
    found = rate(of(PerUnit(unit_price=Decimal("0.05")), included=50), Decimal(75))
    assert found.effective_rate == Fraction(1, 60)
    assert rate(of(PerUnit(unit_price=Decimal(1)), discount_percent=10), Decimal(3)).effective_rate == Fraction(9, 10)
    assert rate(of(PerUnit(unit_price=Decimal(1)), minimum=5), Decimal(0)).effective_rate is None


def test_a_unit_has_a_price_where_it_does_not_depend_on_the_quantity() -> None:
    assert unit_rate(PerUnit(unit_price=Decimal("0.01"), per=Decimal(1000))) == (Decimal("0.01"), Decimal(1000))
    assert unit_rate(Package(price=Decimal(2), size=Decimal(100))) == (Decimal(2), Decimal(100))
    assert unit_rate(Percentage(percent=Decimal("2.5"))) == (Decimal("0.025"), None)
    for price in (Graduated(tiers=TIERS), Volume(tiers=TIERS), TieredFlat(tiers=FLATS)):
        assert unit_rate(price) == (None, None)


def test_amounts_are_exact_however_large_and_small() -> None:
    charge = of(PerUnit(unit_price=Decimal("0.000000001"), per=Decimal("999999999999999999")))
    quantity = Decimal("987654321987654321987654321.123456789")
    assert rate(charge, quantity).exact == Fraction(quantity) / 10**9 / (10**18 - 1)
