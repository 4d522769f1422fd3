"""The lines of an invoice: what is used and the base fee by segment, each rounded once, and their sum."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.bill import Usage, bill
from meterline_api.billing.pricing.errors import CurrencyChangeError, NoUnitMonthsError
from meterline_api.billing.pricing.money import Rounding, minor_digits
from meterline_api.billing.pricing.rating import rate
from meterline_api.billing.pricing.segments import Segment, segments
from meterline_schemas.billing.invoice import LineKind
from meterline_schemas.catalog import Charge, Measure, Plan, PlanVersion, Span, TenantPlan
from meterline_schemas.catalog.price import Graduated, PerUnit, Tier
from meterline_schemas.currencies import UnknownCurrencyError
from tests.api.billing.pricing.choices import END, FEW, MONEY, START, charges

QUANTITY = st.decimals(0, 50, places=3)


def per_unit(metric: str, price: str, **fields: Any) -> Charge:
    return Charge(metric=metric, price=PerUnit(unit_price=Decimal(price)), **fields)


def plan(*found: Charge, name: str = "basic", fee: Decimal = Decimal(0), currency: str = "USD") -> Plan:
    return Plan(id=name, name=name.title(), currency=currency, versions=(PlanVersion(base_fee=fee, charges=found),))


def whole(of: Plan) -> Segment:
    return Segment(of, of.versions[0], START, END, Fraction(1))


def cut(*parts: tuple[datetime, Plan]) -> tuple[Segment, ...]:
    spans = tuple(Span(start=start, plan=each.id) for start, each in parts)
    return segments(TenantPlan(tenant_id="acme", spans=spans), {each.id: each for _, each in parts}, START, END)


def at(day: int) -> datetime:
    return START + timedelta(days=day - 1)


def used(quantities: Mapping[str, Decimal | int | str]) -> dict[str, Usage]:
    return {metric: Usage(Decimal(quantity)) for metric, quantity in quantities.items()}


def test_the_example_company_pays_478_50_to_the_cent() -> None:
    """Requirement 4: base fee, orders, invoices, storage, calls by the thousand and AI jobs."""
    calls = Charge(metric="api_calls", price=PerUnit(unit_price=Decimal("0.01"), per=Decimal(1000)))
    storage = per_unit("storage", "1.00", measure=Measure.UNIT_MONTHS)
    priced = per_unit("orders", "0.10"), per_unit("invoices", "0.05"), storage, calls, per_unit("ai_jobs", "0.50")
    usage = used({"orders": 1250, "invoices": 980, "api_calls": 50_000, "ai_jobs": 120})
    usage["storage"] = Usage(Decimal(45 * 720), unit_months=Decimal(45), unit="GB", events="/v1/events?metric=storage")
    found = bill([(whole(plan(*priced, fee=Decimal(199))), usage)])
    assert {line.metric or "base fee": str(line.amount) for line in found.lines} == {
        "base fee": "199.00",
        "orders": "125.00",
        "invoices": "49.00",
        "storage": "45.00",
        "api_calls": "0.50",
        "ai_jobs": "60.00",
    }
    assert (str(found.total), found.currency, found.unpriced) == ("478.50", "USD", ())
    base, *_ = found.lines
    assert (base.kind, base.name, str(base.rate)) == (LineKind.BASE_FEE, "Basic", "199")
    assert (base.quantity, base.share) == (None, None)
    by_metric = {line.metric: line for line in found.lines}
    gigabytes = by_metric["storage"]
    assert (gigabytes.quantity, gigabytes.unit, gigabytes.events) == (Decimal(45), "GB", "/v1/events?metric=storage")
    assert (by_metric["api_calls"].rate, by_metric["api_calls"].per) == (Decimal("0.01"), Decimal(1000))


def test_a_quota_of_50_of_which_75_were_used_at_5_cents_is_25_over_and_1_25() -> None:
    """Requirement 2."""
    found = bill([(whole(plan(per_unit("order", "0.05", included=50))), used({"order": 75}))])
    (line,) = found.lines
    assert line.quantity is not None
    assert line.included is not None
    assert list(map(str, (line.quantity, line.included, line.quantity - line.included))) == ["75", "50", "25"]
    assert str(line.amount) == str(found.total) == "1.25"


@st.composite
def bills(draw: st.DrawFn) -> tuple[list[tuple[Segment, dict[str, Usage]]], str]:
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    calls = per_unit("calls", str(draw(MONEY)))
    plans = [plan(draw(charges()), calls, name=name, fee=draw(MONEY), currency=currency) for name in "abc"]
    starts = sorted(draw(st.sets(st.integers(-3, 30), min_size=3, max_size=3)))
    parts = cut(*((at(day), each) for day, each in zip(starts, plans, strict=True)))
    metrics = st.sampled_from(["orders", "calls", "pages"])
    return [(part, draw(st.dictionaries(metrics, QUANTITY.map(Usage)))) for part in parts], currency


@FEW
@given(bills(), st.sampled_from(Rounding))
def test_lines_sum_to_the_total_and_each_is_rounded_once(
    parts: tuple[list[tuple[Segment, dict[str, Usage]]], str], rounding: Rounding
) -> None:
    found = bill(parts[0], rounding)
    currency = parts[1]
    assert sum(line.amount for line in found.lines) == found.total
    assert found.total.as_tuple().exponent == -minor_digits(currency)
    half = Fraction(1, 2 * 10 ** minor_digits(currency))
    exact = Fraction(0)
    for segment, usage in parts[0]:
        fee = Fraction(segment.version.base_fee) * segment.share
        amounts = {
            charge.metric: rate(charge, usage.get(charge.metric, Usage(Decimal(0))).quantity, segment.share).exact
            for charge in segment.version.charges
        }
        lines = {line.metric: line for line in found.lines if line.start == segment.start}
        for metric, amount in {"": fee, **amounts}.items():
            assert abs(Fraction(lines[metric].amount if metric in lines else 0) - amount) <= half
        exact += fee + sum(amounts.values())
    assert abs(Fraction(found.total) - exact) <= half * max(len(found.lines), 1)


@FEW
@given(bills())
def test_what_a_plan_has_no_charge_for_is_told_apart_and_everything_else_has_a_line(
    parts: tuple[list[tuple[Segment, dict[str, Usage]]], str],
) -> None:
    found = bill(parts[0])
    told = {(each.metric, each.start) for each in found.unpriced}
    lines = {(line.metric, line.start) for line in found.lines}
    for segment, usage in parts[0]:
        for metric, each in usage.items():
            assert ((metric, segment.start) in told) == (metric == "pages" and each.quantity != 0)
            assert ((metric, segment.start) in lines) == (metric != "pages")


@FEW
@given(MONEY, st.sets(st.integers(2, 30), max_size=6), st.sampled_from(Rounding))
def test_the_parts_of_a_base_fee_sum_to_it_but_for_half_a_cent_each(
    fee: Decimal, days: set[int], rounding: Rounding
) -> None:
    starts = [START, *(at(day) for day in sorted(days))]
    parts = cut(*((start, plan(name=f"p{number}", fee=fee)) for number, start in enumerate(starts)))
    assert len(parts) == len(starts)
    assert sum(Fraction(part.version.base_fee) * part.share for part in parts) == Fraction(fee)
    found = bill([(part, {}) for part in parts], rounding)
    assert abs(Fraction(found.total) - Fraction(fee)) <= Fraction(len(parts), 200)


@FEW
@given(charges(), MONEY, QUANTITY, st.sets(st.integers(2, 30), max_size=4))
def test_cutting_a_period_on_one_plan_changes_no_line(
    charge: Charge, fee: Decimal, quantity: Decimal, days: set[int]
) -> None:
    one = plan(charge, fee=fee)
    parts = cut((START, one), *((at(day), one) for day in sorted(days)))
    assert bill([(part, {"orders": Usage(quantity)}) for part in parts]) == bill(
        [(whole(one), {"orders": Usage(quantity)})]
    )


@FEW
@given(MONEY, st.lists(QUANTITY, min_size=2, max_size=5))
def test_a_change_that_leaves_a_unit_price_as_it_was_moves_the_sum_by_the_rounding_alone(
    price: Decimal, quantities: list[Decimal]
) -> None:
    """Where nothing is for a whole period, another plan at the same price costs the same."""
    plans = [plan(per_unit("orders", str(price)), name=f"p{number}") for number in range(len(quantities))]
    parts = cut(*((at(1 + number), each) for number, each in enumerate(plans)))
    found = bill([(part, {"orders": Usage(quantity)}) for part, quantity in zip(parts, quantities, strict=True)])
    exact = Fraction(price) * sum(Fraction(quantity) for quantity in quantities)
    assert abs(Fraction(found.total) - exact) <= Fraction(len(parts), 200)


def test_a_plan_that_changes_in_mid_month_has_lines_of_both_with_their_share() -> None:
    small = plan(per_unit("orders", "0.10", included=100), name="small", fee=Decimal(30))
    large = plan(per_unit("orders", "0.05", included=1000), name="large", fee=Decimal(90))
    first, second = cut((START, small), (at(21), large))
    found = bill([(first, used({"orders": 100})), (second, used({"orders": 400}))])
    third = Decimal("0.333333333333333333")
    assert [(line.plan, line.metric, str(line.amount), line.share) for line in found.lines] == [
        ("small", "", "20.00", 1 - third),
        ("small", "orders", "3.33", 1 - third),
        ("large", "", "30.00", third),
        ("large", "orders", "3.33", third),
    ]
    assert [(line.start, line.end) for line in found.lines[1:3]] == [(START, at(21)), (at(21), END)]
    assert str(found.lines[1].included) == "66.666666666666666667"
    assert str(found.total) == "56.66"


def test_a_minimum_has_a_line_without_usage_and_says_why() -> None:
    found = bill(
        [(whole(plan(per_unit("orders", "0.10", minimum=20, description="Orders"), per_unit("calls", "1"))), {})]
    )
    (line,) = found.lines
    assert (line.kind, str(line.amount), line.quantity) == (LineKind.USAGE, "20.00", Decimal(0))
    assert line.description == "Orders; minimum of 20"


def test_tiers_are_on_the_line() -> None:
    tiers = Tier(up_to=Decimal(10), unit_price=Decimal(2)), Tier(unit_price=Decimal(1), flat=Decimal(5))
    found = bill([(whole(plan(Charge(metric="orders", price=Graduated(tiers=tiers)))), used({"orders": 12}))])
    (line,) = found.lines
    assert line.rate is None
    told = [(str(tier.quantity), str(tier.amount), str(tier.up_to)) for tier in line.tiers]
    assert told == [("10", "20", "10"), ("2", "7", "None")]
    assert str(line.amount) == "27.00"


@pytest.mark.parametrize(
    ("currency", "rounding", "wanted"),
    [
        ("USD", Rounding.HALF_EVEN, "2.50"),
        ("JPY", Rounding.HALF_EVEN, "2"),
        ("JPY", Rounding.HALF_UP, "3"),
        ("KWD", Rounding.HALF_EVEN, "2.500"),
    ],
)
def test_a_line_has_the_decimals_of_its_currency(currency: str, rounding: Rounding, wanted: str) -> None:
    found = bill([(whole(plan(per_unit("orders", "0.5"), currency=currency)), used({"orders": 5}))], rounding)
    assert str(found.lines[0].amount) == str(found.total) == wanted


def test_nothing_used_and_no_fee_is_no_line_and_a_total_of_zero() -> None:
    found = bill([(whole(plan(per_unit("orders", "1"))), {})])
    assert (found.lines, str(found.total), found.currency) == ((), "0.00", "USD")
    assert bill([]).currency is None


def test_a_change_to_another_currency_within_a_period_is_refused() -> None:
    parts = cut((START, plan(name="us")), (at(16), plan(name="eu", currency="EUR")))
    wanted = "at 2026-11-16T00:00:00Z plan 'eu' in EUR follows plan 'us' in USD: an invoice is in one currency"
    with pytest.raises(CurrencyChangeError, match=wanted):
        bill([(part, {}) for part in parts])


def test_a_plan_in_no_currency_of_the_standard_is_refused_before_anything_is_charged() -> None:
    with pytest.raises(UnknownCurrencyError, match="'ABC' is no currency"):
        bill([(whole(plan(currency="ABC")), {})])


def test_unit_months_are_charged_of_gauges_alone() -> None:
    storage = whole(plan(per_unit("orders", "1", measure=Measure.UNIT_MONTHS)))
    with pytest.raises(NoUnitMonthsError, match="'orders' by unit_months, which only a time_weighted metric has"):
        bill([(storage, used({"orders": 1}))])
    assert bill([(storage, {})]).lines == ()
