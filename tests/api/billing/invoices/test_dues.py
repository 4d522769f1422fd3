"""The queue of periods to be closed, by values alone."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.invoices.dues import Dues
from meterline_api.billing.invoices.periods import Due, ended, plans_of
from meterline_schemas.billing.closing import Closing
from meterline_schemas.catalog import Book, Entry, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span

NOW = datetime(2026, 11, 3, 5, tzinfo=UTC)
PLANS = [
    Plan.model_validate({"id": kind, "currency": "EUR", "period": kind, "versions": [{}]})
    for kind in ("daily", "monthly")
]
_TENANT = st.tuples(
    st.sampled_from(["daily", "monthly", "unknown"]),
    st.integers(0, 40),  # days that it is on the plan
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
    st.booleans(),  # whether it was closed up to its first midnight
)


def book_of(entries: list[Entry]) -> Book:
    book = Book()
    for entry in entries:
        assert book.apply(entry.record_key, entry.encode()) is None
    return book


@given(st.lists(_TENANT, max_size=12), st.integers(1, 5))
def test_every_period_that_ended_comes_once_those_of_a_tenant_in_their_order(
    tenants: list[tuple[str, int, str, bool]], most: int
) -> None:
    entries: list[Entry] = [*PLANS]
    closings: dict[str, Closing] = {}
    for number, (plan, days, zone, is_closed) in enumerate(tenants):
        id, start = f"t{number}", NOW.replace(hour=0) - timedelta(days=days)
        entries.append(Tenant(id=id, time_zone=zone))
        entries.append(TenantPlan(tenant_id=id, spans=(Span(start=start, plan=plan),)))
        if is_closed and plan != "unknown":
            closings[id] = Closing(id, start, start + timedelta(days=1))
    book = book_of(entries)
    problems: list[str] = []
    dues = Dues(book, closings, NOW, problems)
    waiting = dues.find()
    found: dict[str, list[Due]] = defaultdict(list)
    for chunk in dues.chunks(most):
        assert 0 < len(chunk) <= most
        assert len({(due.start, due.end) for due in chunk}) == 1
        for due in chunk:
            found[due.tenant.id].append(due)
        dues.closed(chunk)
    expected = {}
    for on in book.all(TenantPlan):
        since = closings[on.tenant_id].until if on.tenant_id in closings else None
        tenant = book.tenant(on.tenant_id)
        if on.spans[0].plan != "unknown" and (of_it := list(ended(tenant, on, plans_of(book), since, NOW))):
            expected[on.tenant_id] = of_it
    assert found == expected
    assert waiting == len(expected)
    unknown = [number for number, (plan, days, *_) in enumerate(tenants) if plan == "unknown"]
    assert len(problems) == len(unknown)


def test_what_was_not_closed_does_not_come_again() -> None:
    on = TenantPlan(tenant_id="a", spans=(Span(start=NOW.replace(hour=0) - timedelta(days=5), plan="daily"),))
    dues = Dues(book_of([*PLANS, on]), {}, NOW, [])
    assert dues.find() == 1
    assert [due.tenant.id for chunk in dues.chunks(10) for due in chunk] == ["a"]
