"""Usage of whole periods for the documents' reports: all rows of a query, and numbers by metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Final

from meterline_api.documents.costs import unit_months
from meterline_api.models import UsageRow
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.usage.answer import usage_of
from meterline_api.usage.query import UsageQuery, Window, read_cursor
from meterline_schemas.catalog import Aggregation, Book, Metric, Quota
from meterline_schemas.periods import Calendar, Period

PAGE: Final = 10_000
_MOST: Final = 200_000
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)
_MOMENT: Final = timedelta(milliseconds=1)


async def rows_of(service: Service, query: UsageQuery, now: datetime) -> list[UsageRow]:
    """All rows of a query.

    Raises:
        Problem: there are too many for one answer; ClickHouse does not answer.
    """
    found: list[UsageRow] = []
    while True:
        page = await usage_of(service, query, now)
        found += page.data
        if page.next_cursor is None:
            return found
        if len(found) >= _MOST:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                Code.INVALID_REQUEST,
                f"there are more than {_MOST} rows; ask for one tenant, or page through GET /v1/usage",
            )
        query = replace(query, after=read_cursor(page.next_cursor, query))


async def used(
    service: Service, tenant_id: str, start: datetime, end: datetime, now: datetime, metric: str | None = None
) -> dict[str, UsageRow]:
    """What a tenant used in ``[start, end)``, whole hours, by metric."""
    query = UsageQuery(start, end, None, (tenant_id,), metric, limit=PAGE)
    return {row.metric: row for row in await rows_of(service, query, now)}


async def months_of_gauge(
    service: Service, tenants: tuple[str, ...], metric: str, start: datetime, end: datetime, now: datetime
) -> Decimal:
    """Unit x months of a gauge: its unit x hours in each month by the hours of that month."""
    rows = await rows_of(service, UsageQuery(start, end, Window.MONTH, tenants, metric, limit=PAGE), now)
    return unit_months((row.start, Decimal(row.value)) for row in rows)


def visible(book: Book, tenant_id: str) -> Iterable[Metric]:
    """The metrics that a tenant's events may be of."""
    return (metric for metric in book.all(Metric) if metric.tenant_id in ("", tenant_id))


def calendar_of(book: Book, metric: Metric, quota: Quota | None, tenant_id: str) -> Calendar:
    """The periods that a tenant's usage of a metric is told in: its quota's, else the metric's.

    Usage is kept by the hour: where a zone's days begin within a UTC hour, it is told in those of UTC.
    """
    if quota is not None:
        found = book.calendar(quota, tenant_id)
    else:
        found = Calendar(metric.reset_period, book.tenant(tenant_id).time_zone)
    return found if found.of_hours else replace(found, zone="UTC")


def month_of(book: Book, tenant_id: str, at: datetime) -> tuple[datetime, datetime]:
    """The tenant's calendar month that an instant lies in."""
    calendar = Calendar(Period.MONTHLY, book.tenant(tenant_id).time_zone)
    return (calendar if calendar.of_hours else Calendar(Period.MONTHLY)).bounds(at)


def clipped(bounds: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    """The part of a period in which usage can lie."""
    return max(bounds[0], _FIRST), min(bounds[1], _LAST)


def back(calendar: Calendar, now: datetime, limit: int) -> list[tuple[datetime, datetime]]:
    """The period of ``now`` and those before it, the latest first, ``limit`` at most."""
    found: list[tuple[datetime, datetime]] = []
    at = now
    while len(found) < limit and at > _FIRST:
        bounds = calendar.bounds(at)
        found.append(clipped(bounds))
        at = bounds[0] - _MOMENT
    return found


def is_gauge(metric: Metric | None) -> bool:
    return metric is not None and metric.aggregation is Aggregation.TIME_WEIGHTED
