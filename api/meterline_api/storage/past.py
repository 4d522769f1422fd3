"""Which readings there are of each tenant: ClickHouse remembers, no process does."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from meterline_api.clickhouse import ClickHouse
from meterline_api.storage.readings import Past

_PAST: Final = (
    "SELECT u.tenant_id, "
    "toString(argMaxIf(u.quantity, (u.timestamp, u.id), u.timestamp < fromUnixTimestamp64Milli({at:Int64}, 'UTC'))), "
    "countIf(u.timestamp = fromUnixTimestamp64Milli({at:Int64}, 'UTC')) "
    "FROM usage_events AS u WHERE u.metric = {metric:String} AND u.source = {source:String} AND u.subject = '' "
    "AND u.timestamp <= fromUnixTimestamp64Milli({at:Int64}, 'UTC') GROUP BY u.tenant_id"
)
_LIMITS: Final[dict[str, str | int]] = {
    "max_result_rows": 1_000_000,
    "result_overflow_mode": "throw",
    "max_memory_usage": 2_000_000_000,
}


async def past_of(tables: ClickHouse, metric: str, source: str, at: datetime) -> dict[str, Past]:
    """Of each tenant that ``source`` ever made a reading of, as seen from an instant in whole milliseconds.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    milliseconds = round(at.timestamp() * 1000)
    rows = await tables.rows(_PAST, {"at": milliseconds, "metric": metric, "source": source}, _LIMITS)
    return {tenant_id: Past(level, bool(here)) for tenant_id, level, here in rows}
