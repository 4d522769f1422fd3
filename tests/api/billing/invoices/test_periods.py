"""Periods of a tenant that changes between plans by the day and by the month: every moment is due once, by values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meterline_api.billing.accruals.accruing import unbilled
from meterline_api.billing.invoices.changes import due_of
from meterline_api.billing.invoices.periods import Due, ended, walk
from meterline_schemas.catalog import Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.billing.rendering.samples import invoice
from tests.support.examples import few

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LENGTH = 24 * 75  # hours that are looked at
PLANS = {
    id: Plan.model_validate({"id": id, "currency": "EUR", "period": period, "versions": [{}]})
    for id, period in (("days", "daily"), ("month", "monthly"), ("other-month", "monthly"))
}
_CHANGE = st.tuples(st.integers(0, LENGTH - 1), st.sampled_from([None, *PLANS]))
_ZONE = st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"])
FROM_DAYS = [(0, "days"), (9 * 24, "month")]
TO_DAYS_AND_BACK = [(0, "month"), (9 * 24, "days"), (19 * 24, "month")]
WITHIN_A_DAY = [(0, "days"), (30, "other-month"), (35, "days"), (40, "month"), (41, "days")]


def on_plans(changes: list[tuple[int, str | None]]) -> tuple[TenantPlan, list[str | None]]:
    """The assignment, and the plan of each hour."""
    at = dict(changes)
    spans = tuple(Span(start=FIRST + hour * HOUR, plan=at[hour]) for hour in sorted(at))
    by_hour: list[str | None] = []
    for hour in range(LENGTH):
        by_hour.append(at[hour] if hour in at else by_hour[-1] if by_hour else None)
    return TenantPlan(tenant_id="a", spans=spans), by_hour


def charged(dues: Iterable[Due]) -> list[tuple[int, str]]:
    """Every hour that they charge, with the plan."""
    found = [
        (hour, segment.plan.id)
        for due in dues
        for segment in due.segments
        for hour in range((segment.start - FIRST) // HOUR, (segment.end - FIRST) // HOUR)
    ]
    return sorted((hour, plan) for hour, plan in found if hour < LENGTH)


@settings(max_examples=few(40), deadline=None)
@given(st.lists(_CHANGE, max_size=6), _ZONE)
@example(FROM_DAYS, "UTC")
@example(TO_DAYS_AND_BACK, "UTC")
@example(WITHIN_A_DAY, "Asia/Tokyo")
def test_every_hour_on_a_plan_is_charged_once_whatever_was_closed_before(
    changes: list[tuple[int, str | None]], zone: str
) -> None:
    tenant = Tenant(id="a", time_zone=zone)
    on, by_hour = on_plans(changes)
    expected = [(hour, plan) for hour, plan in enumerate(by_hour) if plan is not None]
    later = FIRST + 2 * LENGTH * HOUR
    dues = list(ended(tenant, on, PLANS, None, later))
    assert charged(dues) == expected
    for number, due in enumerate(dues):
        assert list(ended(tenant, on, PLANS, due.until, later)) == dues[number + 1 :]
        assert due_of(invoice(start=due.start, end=due.end), tenant, on, PLANS).segments == due.segments


@settings(max_examples=few(40), deadline=None)
@given(st.lists(_CHANGE, max_size=6), _ZONE, st.integers(0, LENGTH - 1), st.integers(0, LENGTH))
@example(TO_DAYS_AND_BACK, "UTC", 22 * 24, 26 * 24)
def test_so_is_what_is_not_billed_at_a_cut_off_and_what_is_shown_from_any_hour_on(
    changes: list[tuple[int, str | None]], zone: str, since: int, cut: int
) -> None:
    tenant = Tenant(id="a", time_zone=zone)
    on, by_hour = on_plans(changes)
    at = FIRST + cut * HOUR
    accrued = [found.part for found in unbilled(tenant, on, PLANS, at, None, ())]
    assert charged(accrued) == [(hour, plan) for hour, plan in enumerate(by_hour[:cut]) if plan is not None]
    shown = charged(walk(tenant, on, PLANS, FIRST + since * HOUR, FIRST + LENGTH * HOUR))
    assert len(shown) == len(set(shown))
    assert {(hour, plan) for hour, plan in enumerate(by_hour) if plan is not None and hour >= since} <= {*shown}
