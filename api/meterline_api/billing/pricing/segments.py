"""A period cut where the plan of a tenant, or a version of it, changes within it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from meterline_api.billing.pricing.errors import UnknownPlanError
from meterline_schemas.catalog import Charge, Plan, PlanVersion, TenantPlan
from meterline_schemas.periods import Period

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Segment:
    """``[start, end)`` in which one version of a plan holds; ``share`` is its part of the whole period."""

    plan: Plan
    version: PlanVersion
    start: datetime
    end: datetime
    share: Fraction


def segments(
    tenant_plan: TenantPlan | None,
    plans: Mapping[str, Plan],
    start: datetime,
    end: datetime,
    period: Period | None = None,
) -> tuple[Segment, ...]:
    """The segments of the period ``[start, end)``, in their order; none where the tenant is on no plan.

    ``period`` keeps those of plans that are invoiced by such periods: of a tenant that changes from a plan by the month
    to one by the day within a month, the month has the part before, and each day after it is a period.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    if tenant_plan is None:
        return ()
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    cuts = {start, end, *(span.start for span in tenant_plan.spans)}
    for named in {span.plan for span in tenant_plan.spans if span.plan is not None}:
        versions = plans[named].versions if named in plans else ()
        cuts |= {version.start.astimezone(UTC) for version in versions if version.start is not None}
    found: list[Segment] = []
    for begin, until in pairwise(sorted(cut for cut in cuts if start <= cut <= end)):
        name = tenant_plan.at(begin)
        if name is None:
            continue
        if name not in plans:
            raise UnknownPlanError(tenant_plan.tenant_id, name)
        plan = plans[name]
        if period is not None and plan.period is not period:
            continue
        part = Segment(plan, plan.at(begin), begin, until, share_of(begin, until, start, end))
        if found and _goes_on(found[-1], part):
            part = replace(part, start=found[-1].start, share=found[-1].share + part.share)
            found.pop()
        found.append(part)
    return tuple(found)


def share_of(begin: datetime, until: datetime, start: datetime, end: datetime) -> Fraction:
    """The part that ``[begin, until)`` is of ``[start, end)``, exact: an hour is an hour whatever the day is long."""
    part = until.astimezone(UTC) - begin.astimezone(UTC)
    return Fraction(part // _MICROSECOND, (end.astimezone(UTC) - start.astimezone(UTC)) // _MICROSECOND)


def _goes_on(before: Segment, after: Segment) -> bool:
    """Whether a segment only continues the one before: what it says of it may change, not what it costs."""
    return (
        before.end == after.start
        and before.plan.id == after.plan.id
        and before.version.base_fee == after.version.base_fee
        and _terms(before.version) == _terms(after.version)
    )


def _terms(version: PlanVersion) -> dict[str, Charge]:
    return {charge.metric: charge.model_copy(update={"name": "", "description": ""}) for charge in version.charges}
