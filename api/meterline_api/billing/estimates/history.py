"""What a tenant used on each of the last days, which tells how its usage goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from meterline_api.billing.invoices.quantities import Tables
from meterline_api.billing.pricing.projection import HISTORY
from meterline_api.usage.query import Numbers, UsageQuery, Window
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Book
from meterline_schemas.periods import Calendar, Period

_BEFORE: Final = timedelta(days=14)  # a metric that is used once a week has a day that is old enough
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS: Final = 100_000

Days = Mapping[str, Mapping[date, Decimal]]
"""By metric and day of the tenant's time zone. A day without usage is not there."""


async def days_before(tables: Tables, book: Book, tenant_id: str, now: datetime) -> Days:
    """The whole days before that of ``now``, eight weeks and some more.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    zone = book.tenant(tenant_id).time_zone
    days = Calendar(Period.DAILY, zone)
    end = days.bounds(now)[0]
    start = max(days.bounds(end - HISTORY - _BEFORE)[0], _FIRST)
    query = UsageQuery(start, end, Window.DAY, (tenant_id,), zone=zone, limit=_ROWS)
    sql, parameters = build(query, book.metrics, end)
    found: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for window, metric, *numbers in await tables.rows(sql, parameters):
        known = book.metrics.get(metric)
        if known is not None:
            day = datetime.fromtimestamp(window, UTC).astimezone(ZoneInfo(zone)).date()
            found[metric][day] = Decimal(Numbers(*numbers).value(known.aggregation))
    return found
