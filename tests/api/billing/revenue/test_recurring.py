"""What recurs: whom it counts, by which plan, and that the sums are exact."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.money import Rounding
from meterline_api.billing.revenue.recurring import AllRecurring, recurring
from meterline_schemas.catalog import Billing, Book, Entry, Plan, PlanVersion, Span, Tenant, TenantPlan
from meterline_schemas.periods import Period

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def plan(id: str, fee: str, currency: str = "EUR", period: Period = Period.MONTHLY, *later: PlanVersion) -> Plan:
    return Plan(id=id, currency=currency, period=period, versions=(PlanVersion(base_fee=Decimal(fee)), *later))


def on(tenant: str, *spans: tuple[datetime, str | None]) -> TenantPlan:
    return TenantPlan(tenant_id=tenant, spans=tuple(Span(start=start, plan=plan) for start, plan in spans))


def booked(entries: Iterable[Entry]) -> Book:
    book = Book()
    for entry in entries:
        assert book.apply(entry.record_key, entry.encode()) is None
    return book


def asked(*entries: Entry, at: datetime = AT, among: set[str] | None = None) -> AllRecurring:
    return recurring(booked(entries), at, among, Rounding.HALF_EVEN)


def plainly(found: AllRecurring) -> dict[str, tuple[str, int, str, int]]:
    """By currency: what recurs, of how many, on average, and how many pay no fee."""
    return {each.currency: (f"{each.mrr}", each.tenants, f"{each.average}", each.without_fee) for each in found.found}


def test_only_who_is_billed_and_on_a_plan_then_counts() -> None:
    long_ago = AT - timedelta(days=400)
    found = asked(
        plan("team", "20"),
        *(on(id, (long_ago, "team")) for id in ("known", "unknown", "test", "free", "meters")),
        *(Tenant(id="known"), Tenant(id="test", excluded="test tenant"), Tenant(id="free", billing=Billing.NONE)),
        Tenant(id="meters", billing=Billing.METER, stripe_customer="cus_1"),
        on("ahead", (AT + SECOND, "team")),
        on("just", (AT, "team")),
        on("left", (long_ago, "team"), (AT, None)),
        on("leaves", (long_ago, "team"), (AT + SECOND, None)),
    )
    assert plainly(found) == {"EUR": ("100", 5, "20.00", 0)}
    assert found.problems == []


def test_a_fee_of_a_day_is_one_of_a_twelfth_of_a_year_and_every_month_is_a_month() -> None:
    found = asked(
        *(plan("month", "30"), plan("anchored", "7", period=Period.BILLING)),
        plan("days", "0.99", period=Period.DAILY),
        plan("yen", "1.5", "JPY", Period.DAILY),
        *(on(f"{id}-{n}", (AT, id)) for id in ("month", "anchored", "days", "yen") for n in range(2)),
        Tenant(id="anchored-1", billing_anchor=31, time_zone="Asia/Kolkata"),
    )
    assert plainly(found) == {"EUR": ("134.22", 6, "22.37", 0), "JPY": ("92", 2, "46", 0)}
    euro = found.found[0]
    assert [(each.plan.id, f"{each.monthly}", each.tenants) for each in euro.plans] == [
        ("anchored", "7.00", 2),
        ("days", "30.11", 2),
        ("month", "30.00", 2),
    ]


def test_the_version_of_the_instant_holds() -> None:
    later = PlanVersion(start=AT, base_fee=Decimal("12.50"))
    entries = (plan("team", "10", "EUR", Period.MONTHLY, later), on("acme", (AT - timedelta(days=9), "team")))
    assert plainly(asked(*entries, at=AT - SECOND)) == {"EUR": ("10", 1, "10.00", 0)}
    assert plainly(asked(*entries)) == {"EUR": ("12.5", 1, "12.50", 0)}


def test_who_pays_by_usage_alone_is_counted_apart_and_no_part_of_the_average() -> None:
    found = asked(plan("usage", "0"), plan("team", "9"), on("a", (AT, "usage")), on("b", (AT, "team")))
    assert plainly(found) == {"EUR": ("9", 1, "9.00", 1)}
    assert plainly(asked(plan("usage", "0"), on("a", (AT, "usage")))) == {"EUR": ("0", 0, "None", 1)}


def test_a_plan_that_is_not_there_is_said_and_the_others_counted() -> None:
    found = asked(plan("team", "9"), on("a", (AT, "gone")), on("b", (AT, "team")))
    assert plainly(found) == {"EUR": ("9", 1, "9.00", 0)}
    (problem,) = found.problems
    assert "tenant 'a' is on plan 'gone', which is not in the catalog" in problem


def test_only_those_that_are_asked_for() -> None:
    entries = (plan("team", "9"), on("a", (AT, "team")), on("b", (AT, "gone")))
    assert plainly(asked(*entries, among={"a"})) == {"EUR": ("9", 1, "9.00", 0)}
    assert asked(*entries, among={"a"}).problems == []
    assert asked(*entries, among=set()) == AllRecurring()


FEES = st.decimals(min_value=0, max_value=10**18 - 1, places=4)


@given(st.lists(st.tuples(FEES, st.sampled_from(["EUR", "JPY", "KWD"]), st.integers(0, 3)), max_size=6))
def test_every_tenants_fee_is_rounded_once_and_all_sums_are_exact(
    plans: list[tuple[Decimal, str, int]],
) -> None:
    entries: list[Entry] = [plan(f"p{n}", str(fee), currency) for n, (fee, currency, _users) in enumerate(plans)]
    entries += [on(f"t{n}-{m}", (AT, f"p{n}")) for n, (*_plan, users) in enumerate(plans) for m in range(users)]
    found = {each.currency: each for each in asked(*entries).found}
    units = {"EUR": 100, "JPY": 1, "KWD": 1000}
    for currency, unit in units.items():
        mine = [(fee, users) for fee, of, users in plans if of == currency and users]
        cents = sum(_cents(fee, unit) * users for fee, users in mine)
        assert (currency in found) == bool(mine)
        if mine:
            assert found[currency].mrr == Decimal(cents).scaleb(-len(str(unit)) + 1)
            assert found[currency].tenants + found[currency].without_fee == sum(users for _fee, users in mine)


def _cents(fee: Decimal, unit: int) -> int:
    whole, rest = divmod(int(fee.scaleb(4)) * unit, 10_000)
    return whole + (rest > 5000 or (rest == 5000 and whole % 2 == 1))


@pytest.mark.parametrize("rounding", list(Rounding))
def test_half_a_cent_goes_where_invoices_have_it(rounding: Rounding) -> None:
    book = booked((plan("team", "0.125"), on("a", (AT, "team")), on("b", (AT, "team"))))
    (found,) = recurring(book, AT, None, rounding).found
    assert found.mrr == {Rounding.HALF_EVEN: Decimal("0.24"), Rounding.HALF_UP: Decimal("0.26")}[rounding]
