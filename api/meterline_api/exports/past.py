"""Where each partition of ``usage.events`` stood at an instant, of what is judged and in ClickHouse."""

from __future__ import annotations

from datetime import datetime

from meterline_api.clickhouse import ClickHouse
from meterline_api.exports.selection import Positions, milliseconds

LEDGER = "usage.events"
_COMPLETE = "SELECT kafka_partition, toInt64(complete_to_offset) FROM usage_freshness ORDER BY kafka_partition"
_RECEIVED = (
    "SELECT u.kafka_partition, min(u.kafka_offset) FROM usage_events_raw AS u "
    "WHERE u.received_at >= fromUnixTimestamp64Milli({at:Int64}, 'UTC') "
    "AND u.timestamp >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') "
    "AND u.timestamp < fromUnixTimestamp64Milli({end:Int64}, 'UTC') GROUP BY u.kafka_partition"
)


async def settled(tables: ClickHouse, start: int, end: int, at: datetime | None) -> Positions:
    """The last offsets before the first event of ``[start, end)`` that came at ``at`` or later; None: of all.

    What is not judged yet, and everything behind it, does not count. ``start`` and ``end`` are in milliseconds.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    complete = {int(partition): int(offset) for partition, offset in await tables.rows(_COMPLETE, {})}
    if at is not None:
        asked = {"at": milliseconds(at), "start": start, "end": end}
        for partition, offset in await tables.rows(_RECEIVED, asked):
            complete[int(partition)] = min(complete.get(int(partition), 0), int(offset))
    return tuple((partition, offset - 1) for partition, offset in sorted(complete.items()))
