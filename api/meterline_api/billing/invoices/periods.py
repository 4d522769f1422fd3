"""Which periods of a tenant have ended and are not closed yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import Final, NamedTuple

from meterline_api.billing.pricing.errors import UnknownPlanError
from meterline_api.billing.pricing.segments import Segment, segments
from meterline_schemas.catalog import Book, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from meterline_schemas.periods import Calendar, Period

_MOST: Final = 20_000  # periods of a tenant at once: days of half a century


class Due(NamedTuple):
    """A period ``[start, end)`` of a tenant, and its segments, none where it was on no plan.

    ``until`` is up to where the tenant is closed with it: the end or, where the tenant changed to a plan that is
    invoiced by other periods, where that began. Where it comes back within the period, these segments too are of the
    one invoice that was due where it left: ``resumed`` says that it is seen from behind that.
    """

    tenant: Tenant
    start: datetime
    end: datetime
    until: datetime
    segments: tuple[Segment, ...]
    resumed: bool = False


def tenant_of(book: Book, tenant_id: str) -> Tenant:
    """A tenant by its own id; one that is not listed has the defaults."""
    return book.find(Tenant, tenant_id) or Tenant(id=tenant_id)


def invoiced(tenant: Tenant, on: TenantPlan) -> TenantPlan:
    """The plans that its invoices charge: on none in days that Stripe's meters charge."""
    if not tenant.metering:
        return on
    ends = {day for each in tenant.metering for day in (each.start, each.end) if day is not None}
    cuts = sorted({span.start for span in on.spans} | {datetime.combine(day, time(), tzinfo=UTC) for day in ends})
    spans = [
        Span(start=cut, plan=None if tenant.is_metered(cut.astimezone(UTC).date()) else on.at(cut)) for cut in cuts
    ]
    return on.model_copy(update={"spans": tuple(spans)})


def plans_of(book: Book) -> dict[str, Plan]:
    """Every plan by its id."""
    return {plan.id: plan for plan in book.all(Plan)}


def calendar(tenant: Tenant, period: Period) -> Calendar:
    """What a tenant is invoiced by: days and months of its own time zone."""
    return Calendar(period, tenant.time_zone, tenant.billing_anchor)


def ended(
    tenant: Tenant, on: TenantPlan, plans: Mapping[str, Plan], since: datetime | None, now: datetime
) -> Iterator[Due]:
    """Periods after ``since`` (None: from the tenant's first plan on) that ended by ``now``, in their order.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    at = since if since is not None else next((span.start for span in on.spans if span.plan is not None), now)
    for due in walk(tenant, on, plans, at, now):
        if due.end > now:
            return
        if not due.resumed:
            yield due


def walk(tenant: Tenant, on: TenantPlan, plans: Mapping[str, Plan], at: datetime, end: datetime) -> Iterator[Due]:
    """The period that ``at`` lies in and those after it that begin before ``end``, in their order, each once.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    met: set[tuple[datetime, datetime]] = set()
    for _ in range(_MOST):
        if at >= end:
            return
        due = period_at(tenant, on, plans, at)
        if due is None:
            at = next((span.start for span in on.spans if span.start > at and span.plan is not None), end)
            continue
        if (due.start, due.end) not in met:
            met.add((due.start, due.end))
            yield due
        at = due.until


def period_at(tenant: Tenant, on: TenantPlan, plans: Mapping[str, Plan], at: datetime) -> Due | None:
    """The period that an instant lies in, whether or not it has ended; None where the tenant is on no plan then.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    name = on.at(at)
    if name is None:
        return None
    if name not in plans:
        raise UnknownPlanError(tenant.id, name)
    period = plans[name].period
    start, end = calendar(tenant, period).bounds(at)
    kinds = [(start, _period(on, plans, start))]
    kinds += [(span.start, _period(on, plans, span.start)) for span in on.spans if start < span.start < end]
    others = [instant for instant, kind in kinds if kind not in (None, period)]
    until = next((instant for instant in others if instant > at), end)
    left = max((instant for instant in others if instant <= at), default=start)
    resumed = any(kind is period and instant < left for instant, kind in kinds)
    return Due(tenant, start, end, until, segments(on, plans, start, end, period), resumed)


def _period(on: TenantPlan, plans: Mapping[str, Plan], at: datetime) -> Period | None:
    name = on.at(at)
    return plans[name].period if name is not None and name in plans else None
