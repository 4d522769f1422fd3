"""A tenant's open period: what it costs now, what it will by its end, and that against the period before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from meterline_api.billing.estimates.history import Days, days_before
from meterline_api.billing.estimates.priced import PricedPeriod, priced_period
from meterline_api.billing.invoices.document import parts_of
from meterline_api.billing.invoices.periods import Due, period_at, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import Quantities, Tables, of_segments
from meterline_api.billing.pricing.bill import Bill, Part
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.pricing.money import Rounding, total
from meterline_api.billing.pricing.projection import Pace, Weekdays, pace, projected_bill, projected_quantity
from meterline_schemas.catalog import Book, Metric

_MOMENT: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """``current`` is the open period so far; ``projected`` what it will come to, on ``then`` of its segments.

    ``seasonal`` are the metrics that go on by weekday. ``previous`` is the period before; None: the tenant was on no
    plan then, or what it cost cannot be told.
    """

    at: datetime
    current: PricedPeriod
    then: list[Part]
    projected: Bill
    seasonal: tuple[str, ...]
    previous: PricedPeriod | None


async def estimate(tables: Tables, book: Book, tenant_id: str, now: datetime, rounding: Rounding) -> Estimate | None:
    """None: the tenant is on no plan now.

    Raises:
        PricingError: the open period cannot be priced.
        UnavailableError: ClickHouse does not answer.
    """
    tenant, on, plans = tenant_of(book, tenant_id), book.tenant_plan(tenant_id), plans_of(book)
    due = period_at(tenant, on, plans, now)
    if due is None:
        return None
    try:
        before = period_at(tenant, on, plans, due.start - _MOMENT)
    except PricingError:
        before = None
    found = await of_segments(tables, [due] if before is None else [due, before], book.metrics, None)
    current = priced_period(due, found, book, rounding)
    then, seasonal = projection(due, found, await days_before(tables, book, tenant_id, now), book.metrics, now)
    previous = None
    if before is not None:
        try:
            previous = priced_period(before, found, book, rounding)
        except PricingError:
            previous = None
    return Estimate(now, current, then, projected_bill(current.parts, then, rounding), seasonal, previous)


def projection(
    due: Due,
    found: Mapping[tuple[datetime, datetime], Quantities],
    days: Days,
    metrics: Mapping[str, Metric],
    at: datetime,
) -> tuple[list[Part], tuple[str, ...]]:
    """The segments of the period with what will have been used in each by its end, and what goes on by weekday."""
    used = [(segment, found[segment.start, segment.end].get(due.tenant.id, {})) for segment in due.segments]
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for _segment, quantities in used:
        for metric, quantity in quantities.items():
            sums[metric].append(quantity)
    paces = {
        metric: pace(
            metrics[metric].aggregation,
            total(sums.get(metric, ())),
            used[0][0].start,
            due.end,
            at,
            days.get(metric),
            due.tenant.time_zone,
        )
        for metric in sorted({*sums, *days})
        if metric in metrics
    }
    then: dict[tuple[datetime, datetime], Quantities] = {}
    for segment, quantities in used:
        ahead = {
            metric: projected_quantity(quantities.get(metric, Decimal(0)), going_on, segment.start, segment.end, at)
            for metric, going_on in paces.items()
        }
        mine = {metric: quantity for metric, quantity in ahead.items() if quantity or metric in quantities}
        then[segment.start, segment.end] = {due.tenant.id: {**quantities, **mine}}
    return parts_of(due, then, metrics), tuple(metric for metric, going_on in paces.items() if _by_weekday(going_on))


def _by_weekday(going_on: Pace) -> bool:
    return isinstance(going_on, Weekdays)
