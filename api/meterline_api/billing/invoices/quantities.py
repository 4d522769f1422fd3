"""What tenants used, for invoices: from the raw events up to a cut, and from the totals to hold it against."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from meterline_api.billing.invoices.periods import Due
from meterline_api.documents.costs import decimal_of
from meterline_api.usage.query import Numbers, UsageQuery
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.periods import Calendar, Period
from meterline_schemas.quantity import exact_nano
from meterline_schemas.rating import unit_months as of_month

Cut = tuple[tuple[int, int], ...]
"""By partition of ``usage.events``, in order, the offset before which every event is taken."""

Quantities = Mapping[str, Mapping[str, Decimal]]
"""By tenant and metric. What was not used is not there."""

_ROWS: Final = 50_000_000
_TENANTS: Final = 1000  # of a request
_BYTES: Final = 64 * 1024  # of their ids: they travel in its address


class Tables(Protocol):
    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]: ...


async def used(
    tables: Tables,
    metrics: Mapping[str, Metric],
    tenants: Sequence[str],
    start: datetime,
    end: datetime,
    cut: Cut | None,
) -> dict[str, dict[str, Decimal]]:
    """The number of each metric in ``[start, end)``: of the events before ``cut``; without one, of the totals.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    if start >= end or not tenants:
        return {}
    query = UsageQuery(start, end, tenants=tuple(tenants), group_by=("tenant_id",), limit=_ROWS, cut=cut)
    sql, parameters = build(query, metrics, min(end, datetime.now(UTC)))
    return await asyncio.to_thread(_by_tenant, await tables.rows(sql, parameters), metrics)


async def of_segments(
    tables: Tables, dues: Iterable[Due], metrics: Mapping[str, Metric], cut: Cut | None
) -> dict[tuple[datetime, datetime], Quantities]:
    """Of each segment of periods, for the tenants that have it; ``cut`` and what is raised as of ``used``."""
    tenants: dict[tuple[datetime, datetime], set[str]] = defaultdict(set)
    for due in dues:
        for segment in due.segments:
            tenants[segment.start, segment.end].add(due.tenant.id)
    found: dict[tuple[datetime, datetime], Quantities] = {}
    for interval, ids in tenants.items():
        of_all: dict[str, Mapping[str, Decimal]] = {}
        for some in in_requests(sorted(ids)):
            of_all |= await used(tables, metrics, some, *interval, cut)
        found[interval] = of_all
    return found


def in_requests(ids: Iterable[str], most: int = _TENANTS) -> Iterator[list[str]]:
    """Ids of tenants, so many at once as one request can name, ``most`` at the most."""
    some: list[str] = []
    size = 0
    for id in ids:
        if some and (len(some) >= most or size > _BYTES):
            yield some
            some, size = [], 0
        some.append(id)
        size += len(id.encode())
    if some:
        yield some


def unit_months(unit_hours: Decimal, at: datetime, zone: str, anchor: int, period: Period) -> Decimal:
    """What a gauge's unit x hours come to by the hours of the month that they lie in: that of the tenant's calendar.

    By billing period its month, else the calendar month that ``at`` lies in.
    """
    kind = Period.BILLING if period is Period.BILLING else Period.MONTHLY
    month = Calendar(kind, zone, anchor).bounds(at)
    return decimal_of(of_month(exact_nano(format(unit_hours, "f")), *month))


def differences(raw: Quantities, totals: Quantities, metrics: Iterable[str]) -> list[tuple[str, str, Decimal, Decimal]]:
    """Where they differ: tenant, metric, and both numbers."""
    found = []
    for tenant_id in sorted({*raw, *totals}):
        ours, theirs = raw.get(tenant_id, {}), totals.get(tenant_id, {})
        for metric in metrics:
            a, b = ours.get(metric, Decimal(0)), theirs.get(metric, Decimal(0))
            if a != b:
                found.append((tenant_id, metric, a, b))
    return found


def _by_tenant(rows: Iterable[Sequence[Any]], metrics: Mapping[str, Metric]) -> dict[str, dict[str, Decimal]]:
    found: dict[str, dict[str, Decimal]] = {}
    for _window, metric, tenant_id, *numbers in rows:
        known = metrics.get(metric)
        aggregation = known.aggregation if known is not None else Aggregation.SUM
        found.setdefault(tenant_id, {})[metric] = Decimal(Numbers(*numbers).value(aggregation))
    return found
