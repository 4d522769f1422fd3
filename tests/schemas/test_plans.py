"""Plans in the catalog: who is on which, and that nothing that has begun or is invoiced changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.catalog import (
    Billing,
    Book,
    Entry,
    Metric,
    Plan,
    RefusedError,
    Span,
    Tenant,
    TenantPlan,
    changes,
    read_entry,
)

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PER_UNIT = {"model": "per_unit", "unit_price": "0.01", "per": "1000"}
METRICS = [
    Metric(key="calls", aggregation="count"),  # type: ignore[arg-type]
    Metric(key="revenue"),
    Metric(key="storage", aggregation="time_weighted"),  # type: ignore[arg-type]
    Metric(key="users", aggregation="unique_count", unique_by="subject"),  # type: ignore[arg-type]
]


def plan(*versions: dict[str, Any], **fields: Any) -> Plan:
    return read_entry(Plan, {"id": "team", "currency": "EUR", "versions": list(versions) or [{}], **fields})


def on(*spans: tuple[datetime, str | None], tenant: str = "acme") -> TenantPlan:
    return TenantPlan(tenant_id=tenant, spans=tuple(Span(start=start, plan=name) for start, name in spans))


def book_of(*entries: Entry) -> Book:
    book = Book()
    for entry in (*METRICS, *entries):
        assert book.apply(entry.record_key, entry.encode()) is None
    return book


def charge(metric: str, **fields: Any) -> dict[str, Any]:
    return {"charges": [{"metric": metric, "price": PER_UNIT, **fields}]}


def refused(book: Book, entry: Entry, **known: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(RefusedError) as caught:
        changes.check(book, entry, **known)
    return caught.value.code, {problem.field: problem.detail for problem in caught.value.problems}


def test_the_plan_of_an_instant_is_that_of_the_last_span_before_it() -> None:
    other = plan({"base_fee": "9"}, id="other")
    book = book_of(plan(), other, on((NOW, "team"), (NOW + DAY, None), (NOW + 2 * DAY, "other")))
    asked = [NOW - DAY, NOW, NOW + DAY, NOW + 2 * DAY, NOW + 900 * DAY]
    found = [book.plan_of("acme", instant) for instant in asked]
    assert [one and one.id for one in found] == [None, "team", None, "other", "other"]
    assert book.plan_of("nobody", NOW) is None
    assert book.tenant_plan("nobody").spans == ()
    assert book.plan("other") == other
    assert book.plan("none") is None


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["a", "b", None])), max_size=8),
    st.integers(0, 20),
    st.sampled_from(["a", "b", None]),
)
def test_a_change_holds_from_its_start_on_and_leaves_what_was_before(
    found: list[tuple[int, str | None]], start: int, wanted: str | None
) -> None:
    before = TenantPlan(tenant_id="t")
    for day, name in sorted(dict(found).items()):
        before = before.model_copy(update={"spans": before.changed(NOW + day * DAY, name)})
    after = TenantPlan(tenant_id="t", spans=before.changed(NOW + start * DAY, wanted))
    for day in range(25):
        instant = NOW + day * DAY
        assert after.at(instant) == (wanted if day >= start else before.at(instant))


@pytest.mark.parametrize(
    ("version", "field", "words"),
    [
        (charge("none"), "versions.0.charges.0.metric", "define the metric first"),
        (charge("calls", measure="unit_months"), "versions.0.charges.0.measure", "only a time_weighted"),
        (
            charge("calls", price={"model": "percentage", "percent": "5"}),
            "versions.0.charges.0.price.model",
            "no money",
        ),
        (
            charge("users", price={"model": "percentage", "percent": "5"}),
            "versions.0.charges.0.price.model",
            "no money",
        ),
        (
            charge("storage", price={"model": "percentage", "percent": "5"}),
            "versions.0.charges.0.measure",
            "unit_months",
        ),
    ],
)
def test_a_charge_fits_its_metric(version: dict[str, Any], field: str, words: str) -> None:
    code, told = refused(book_of(), plan(version), now=NOW)
    assert (code, list(told)) == ("invalid", [field])
    assert words in told[field]


@pytest.mark.parametrize(
    "version",
    [
        charge("calls"),
        charge("storage"),
        charge("storage", measure="unit_months"),
        charge("revenue", price={"model": "percentage", "percent": "2.5"}),
        charge("storage", measure="UNIT_MONTHS", price={"model": "percentage", "percent": "5"}),
    ],
)
def test_what_fits_is_taken(version: dict[str, Any]) -> None:
    assert changes.check(book_of(), plan(version), now=NOW)


@pytest.mark.parametrize(("currency", "code"), [("EUR", None), ("JPY", None), ("KWD", None), ("ABC", "invalid")])
def test_a_currency_is_one_of_iso_4217(currency: str, code: str | None) -> None:
    entry = plan(currency=currency)
    if code is None:
        assert changes.check(book_of(), entry, now=NOW)
    else:
        assert refused(book_of(), entry, now=NOW)[1].keys() == {"currency"}


BEGUN = plan({"base_fee": "1"}, {"start": NOW - DAY, "base_fee": "2"}, {"start": NOW + DAY, "base_fee": "3"})
DUMPED = BEGUN.model_dump()["versions"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (plan({"base_fee": "9"}, *DUMPED[1:]), "versions.0"),
        (plan(DUMPED[0], {"start": NOW - DAY, "base_fee": "9"}, DUMPED[2]), "versions.1"),
        (plan(DUMPED[0], DUMPED[2]), "versions.1"),
        (plan(DUMPED[0]), "versions.1"),
        (plan(*DUMPED[:2], {"start": NOW, "base_fee": "9"}), "versions.2.start"),
        (plan(*DUMPED, currency="USD"), "currency"),
        (plan(*DUMPED, period="daily"), "period"),
    ],
)
def test_what_has_begun_stays_once_a_tenant_is_or_was_on_the_plan(wanted: Plan, field: str) -> None:
    for used in (on((NOW - 9 * DAY, "team")), on((NOW - 9 * DAY, "team"), (NOW - 8 * DAY, None))):
        code, told = refused(book_of(BEGUN, used), wanted, now=NOW)
        assert (code, list(told)) == ("meaning", [field])
    for unused in (on((NOW + DAY, "team")), on((NOW - DAY, None))):
        assert changes.check(book_of(BEGUN, unused), wanted, now=NOW) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        plan(*DUMPED[:2], {"start": NOW + timedelta(seconds=1), "base_fee": "9"}),
        plan(*DUMPED[:2]),
        plan(*DUMPED, {"start": NOW + 9 * DAY}),
        plan(*DUMPED, name="Teams", description="For teams"),
    ],
)
def test_what_is_to_come_may_change_and_names_always(wanted: Plan) -> None:
    book = book_of(BEGUN, on((NOW - DAY, "team")))
    assert changes.check(book, wanted, now=NOW) == wanted
    if wanted.versions[2:] != BEGUN.versions[2:]:
        assert refused(book, wanted)[0] == "meaning", "without a time all has begun"


def test_a_tenants_plan_changes_only_from_where_it_is_invoiced_on() -> None:
    book = book_of(plan(), on((NOW - 9 * DAY, "team")))
    earlier, later = on((NOW - 9 * DAY, "team"), (NOW - DAY, None)), on((NOW - 9 * DAY, "team"), (NOW, None))
    assert changes.check(book, earlier), "nothing is invoiced"
    assert changes.check(book, earlier, closed_until=lambda _tenant: None)
    assert changes.check(book, later, closed_until=lambda _tenant: NOW)
    asked: list[str] = []

    def closed_until(tenant: str) -> datetime:
        asked.append(tenant)
        return NOW

    code, told = refused(book, earlier, closed_until=closed_until)
    assert (code, told["spans"]) == (
        "meaning",
        "tenant 'acme' is invoiced until 2026-11-15T12:00:00Z: its plan changes from then on only",
    )
    with pytest.raises(RefusedError, match="is invoiced until"):
        changes.delete(book, TenantPlan, "acme", closed_until=closed_until)
    assert asked == ["acme", "acme"]


def test_nobody_is_put_on_a_plan_that_is_not_there() -> None:
    code, told = refused(book_of(plan()), on((NOW, "team"), (NOW + DAY, "teams")))
    assert (code, told) == ("invalid", {"spans.1.plan": "there is no plan 'teams'; define it first"})


def test_what_somebody_relies_on_is_not_deleted() -> None:
    book = book_of(plan(charge("calls")), on((NOW + DAY, "team"), (NOW + 2 * DAY, None)))
    for kind, identity, words in ((Plan, "team", "such as acme"), (Metric, "calls", "plan 'team'")):
        with pytest.raises(RefusedError, match=words) as caught:
            changes.delete(book, kind, identity)
        assert caught.value.code == "in_use"
    assert changes.delete(book, Metric, "revenue").key == "revenue"
    assert changes.delete(book_of(plan()), Plan, "team").id == "team"


# tenants


def test_a_tenant_of_an_earlier_version_is_read() -> None:
    tenant = Tenant.decode(
        b'{"version":3,"changed_at":null,"id":"acme","name":"A","time_zone":"UTC","billing_anchor":1}'
    )
    assert (tenant.billing, tenant.stripe_customer, tenant.excluded) == (Billing.INVOICE, "", "")


@pytest.mark.parametrize("billing", ["meter", "INVOICE_ITEMS"])
def test_who_is_billed_at_stripe_is_a_customer_there(billing: str) -> None:
    with pytest.raises(RefusedError, match="give `stripe_customer` too"):
        read_entry(Tenant, {"id": "acme", "billing": billing})
    with pytest.raises(RefusedError, match="cus_ and letters"):
        read_entry(Tenant, {"id": "acme", "billing": billing, "stripe_customer": "acme"})
    found = read_entry(Tenant, {"id": "acme", "billing": billing, "stripe_customer": "cus_1"})
    assert found.billing.by_stripe


def test_a_customer_at_stripe_is_one_tenant() -> None:
    one = Tenant(id="one", stripe_customer="cus_1")
    book = book_of(one)
    assert book.tenant_of_customer("cus_1") == "one"
    assert changes.check(book, one)
    code, told = refused(book, Tenant(id="two", stripe_customer="cus_1"))
    assert (code, list(told)) == ("conflict", ["stripe_customer"])
    assert changes.check(book, Tenant(id="two")), "none is no customer"
    moved = book.copy()
    moved.apply(one.record_key, Tenant(id="one").encode())
    assert (moved.tenant_of_customer("cus_1"), book.tenant_of_customer("cus_1")) == (None, "one")
    book.apply(one.record_key, None)
    assert book.tenant_of_customer("cus_1") is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"versions": []}, {"versions"}),
        ({"versions": [{"charges": [{"metric": "a", "price": {"model": "x"}}]}]}, {"versions.0.charges.0.price.model"}),
        ({"versions": [{"charges": [{"metric": "a", "price": {}}]}]}, {"versions.0.charges.0.price"}),
        (
            {"versions": [{"colour": 1, "charges": [{"metric": "a", "price": {**PER_UNIT, "unit_price": "-1"}}]}]},
            {"versions.0.colour", "versions.0.charges.0.price.unit_price"},
        ),
        ({"versions": [{"start": "2026-11-01T00:00:00Z"}]}, {""}),
        ({"versions": [{}, {"start": "2026-11-01T00:00:00.5Z"}]}, {"versions.1.start"}),
        ({"versions": [{}, {"start": "0001-01-01T00:00:00+14:00"}]}, {"versions.1.start"}),
        ({"versions": [{}, {"start": "9999-12-31T23:59:59-14:00"}]}, {"versions.1.start"}),
        ({"versions": [{}, {"start": "2026-11-01T00:00:00"}]}, {"versions.1.start"}),
    ],
)
def test_every_mistake_of_a_plan_is_told_where_it_is(fields: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(**fields)
    assert {problem.field for problem in caught.value.problems} == wrong
