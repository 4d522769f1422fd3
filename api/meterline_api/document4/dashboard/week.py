"""What a company used on each of the last seven days, of the document's five metrics."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from meterline_api.document4.dashboard.days import DAYS, Day, Week
from meterline_api.document4.names import METRICS
from meterline_api.documents.costs import mean_level
from meterline_api.documents.period_usage import PAGE, back, is_gauge, rows_of
from meterline_api.service import Service
from meterline_api.usage.query import UsageQuery, Window
from meterline_schemas.periods import Calendar, Period


async def week_of(service: Service, company: str, now: datetime) -> Week:
    """Days of the company's time zone; where these do not begin with a whole UTC hour, those of UTC.

    Raises:
        Problem: ClickHouse does not answer.
    """
    book = service.catalog.book
    calendar = Calendar(Period.DAILY, book.tenant(company).time_zone)
    if not calendar.of_hours:
        calendar = Calendar(Period.DAILY)
    bounds = back(calendar, now, DAYS)[::-1]
    query = UsageQuery(bounds[0][0], bounds[-1][1], Window.DAY, (company,), limit=PAGE, zone=calendar.zone)
    rows = {(row.start, row.metric): Decimal(row.value) for row in await rows_of(service, query, now)}

    def count(key: str, start: datetime, end: datetime) -> Decimal:
        value = rows.get((start, key), Decimal(0))
        return mean_level(value, start, min(end, now)) if is_gauge(book.metrics.get(key)) else value

    days = (Day(start, end, {key: count(key, start, end) for key in METRICS}) for start, end in bounds)
    return Week(calendar.zone, tuple(days))
