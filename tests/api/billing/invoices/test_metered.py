"""Who charges which day: each day of a plan is on an invoice or at Stripe's meters, none is at both."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.invoices.periods import ended, invoiced
from meterline_schemas.catalog import Billing, Plan, PlanVersion, Span, Tenant, TenantPlan
from meterline_schemas.catalog.tenant import Metering

FIRST = date(2026, 9, 1)
NOW = datetime(2027, 3, 1, tzinfo=UTC)
PLANS = {"team": Plan(id="team", currency="USD", versions=(PlanVersion(base_fee=Decimal(30)),))}
DAYS = st.lists(st.integers(0, 120), max_size=5, unique=True).map(sorted)


def at(day: int) -> datetime:
    return datetime.combine(FIRST + timedelta(days=day), time(), tzinfo=UTC)


@given(DAYS, st.booleans(), st.integers(0, 120), st.sampled_from(["UTC", "Pacific/Kiritimati", "America/New_York"]))
def test_every_day_of_a_plan_is_charged_once(cuts: list[int], begins_metered: bool, on_plan: int, zone: str) -> None:
    days = [at(cut).date() for cut in cuts]
    starts = [None, *days] if begins_metered else days
    spans = [Metering(start=a, end=b) for a, b in zip(starts[::2], [*starts[1::2], None], strict=False)]
    still = bool(spans) and spans[-1].end is None
    tenant = Tenant(
        id="acme",
        time_zone=zone,
        stripe_customer="cus_1",
        billing=Billing.METER if still else Billing.INVOICE,
        metered_since=spans[-1].start if still else None,
        metered_before=tuple(spans[:-1] if still else spans),
    )
    assert tenant.metering == tuple(spans)
    on = TenantPlan(tenant_id="acme", spans=(Span(start=at(on_plan), plan="team"),))
    dues = list(ended(tenant, invoiced(tenant, on), PLANS, None, NOW))
    segments = [segment for due in dues for segment in due.segments]
    assert all(before.end <= after.start for before, after in pairwise(segments))
    for number in range(150):
        start, end = at(number), at(number + 1)
        covered = sum((max(min(each.end, end) - max(each.start, start), timedelta()) for each in segments), timedelta())
        wanted = number >= on_plan and not tenant.is_metered(start.date())
        assert covered == (end - start) * wanted
    for due in dues:
        share = sum((segment.share for segment in due.segments), Fraction(0))
        covered_time = sum((segment.end - segment.start for segment in due.segments), timedelta())
        assert share == Fraction(covered_time // timedelta(seconds=1), (due.end - due.start) // timedelta(seconds=1))
