"""What a tenant owes up to a cut-off and no document told by then: open periods, as if they ended there. Pure.

A period that goes on behind the cut-off is rated as pricing rates the part of a period that a plan is left in: base
fee, included quantity, minimum, cap and tiers for the share of the period that has passed, prices of units as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from meterline_api.billing.invoices.document import Change, Interval, adjustment, bill_of
from meterline_api.billing.invoices.periods import Due, period_at, walk
from meterline_api.billing.invoices.quantities import Quantities
from meterline_api.billing.pricing.money import Rounding, total
from meterline_schemas.billing.invoice import Line, LineKind
from meterline_schemas.catalog import Metric, Plan, Tenant, TenantPlan


class Accrual(NamedTuple):
    """A line of a tenant's period ``[start, end)``, whose ``line`` ends at the cut-off at most.

    ``deferred`` is what of the base fee belongs to the time behind it. ``line.origin`` is set where it is a change of
    what an invoice told.
    """

    tenant: Tenant
    currency: str
    start: datetime
    end: datetime
    line: Line
    deferred: Decimal = Decimal(0)


class Open(NamedTuple):
    """A period that is not billed at the cut-off: the whole of it, and what of it lies before."""

    whole: Due
    part: Due


def unbilled(
    tenant: Tenant,
    on: TenantPlan,
    plans: Mapping[str, Plan],
    at: datetime,
    closed_until: datetime | None,
    later: Collection[Interval],
) -> Iterator[Open]:
    """The periods up to the cut-off ``at`` that no document issued by then is of.

    ``closed_until`` is up to where the tenant's periods are closed by now, ``later`` those of them whose document was
    issued behind the cut-off.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    begun = next((span.start for span in on.spans if span.plan is not None), at)
    instants = [start for start, _end in later] + ([closed_until] if closed_until is not None else [])
    clipped = on.model_copy(update={"spans": on.changed(at, None)})
    for whole in walk(tenant, on, plans, min(instants, default=begun), at):
        closed = closed_until is not None and whole.until <= closed_until
        if whole.resumed or (closed and (whole.start, whole.end) not in later):
            continue
        part = whole if whole.end <= at else period_at(tenant, clipped, plans, whole.segments[0].start)
        if part is not None:
            yield Open(whole, part)


def accrued(
    period: Open, used: Mapping[Interval, Quantities], metrics: Mapping[str, Metric], rounding: Rounding
) -> list[Accrual]:
    """The lines of what of a period lies before the cut-off; ``used`` has its segments.

    Raises:
        PricingError: it cannot be priced.
    """
    whole, part = period
    found = bill_of(part, used, metrics, rounding)
    fees = _fees(whole, metrics, rounding)
    return [
        Accrual(
            part.tenant,
            found.currency or "",
            whole.start,
            whole.end,
            line,
            total((fees[line.start], line.amount.copy_negate())) if line.kind is LineKind.BASE_FEE else Decimal(0),
        )
        for line in found.lines
    ]


def adjusted(tenant: Tenant, currency: str, period: Interval, changes: Sequence[Change]) -> list[Accrual]:
    """What became of an invoice's lines, and is on no later one."""
    return [Accrual(tenant, currency, *period, adjustment(change)) for change in changes]


def _fees(whole: Due, metrics: Mapping[str, Metric], rounding: Rounding) -> dict[datetime, Decimal]:
    """The base fee of each segment of a whole period, by where it begins."""
    nothing = {(segment.start, segment.end): dict[str, dict[str, Decimal]]() for segment in whole.segments}
    lines = bill_of(whole, nothing, metrics, rounding).lines
    return {line.start: line.amount for line in lines if line.kind is LineKind.BASE_FEE}
