"""What the tests of exports ask, and what they write while they run."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import httpx

from meterline_schemas.catalog import Aggregation
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.exports.lines import END, START, Line, instant, lines
from tests.api.process import ApiProcess
from tests.support.late import insert_events

LINES: Final = lines()
RANGE: Final[dict[str, Any]] = {"from": instant(START), "to": instant(END)}
METRICS: Final = {"calls": Aggregation.AVG, "storage": Aggregation.LAST, "users": Aggregation.UNIQUE_COUNT}
ELSEWHERE: Final = START - timedelta(days=200)  # what tests add while they run
LONG: Final = START - timedelta(days=400)  # a time with so many events that they are several pages
MANY: Final = 100_000
MANY_RANGE: Final[dict[str, Any]] = {"from": instant(LONG), "to": instant(LONG + timedelta(days=2))}


def many(database: str) -> str:
    """A statement that makes ``MANY`` events, a second apart."""
    return (
        f"INSERT INTO {database}.usage_events_raw (tenant_id, metric, timestamp, id, quantity, subject, properties, "
        "late, kafka_partition, kafka_offset, kafka_line, received_at) "
        "SELECT concat('tenant-', toString(number % 7)), 'calls', "
        f"toDateTime64('{LONG:%Y-%m-%d %H:%M:%S}', 3, 'UTC') + toIntervalSecond(number), "
        "concat('id-', toString(number)), "
        "toDecimal128(number, 9) / 7, 'user', map('region', 'eu'), 0, number % 3, number, 0, "
        f"toDateTime64('{END:%Y-%m-%d %H:%M:%S}', 3, 'UTC') FROM numbers({MANY})"
    )


def get(api: ApiProcess, table: str, *, key: Any = "", headers: Any = None, **query: Any) -> httpx.Response:
    """Without a range the one that holds all; plain unless asked otherwise."""
    sent = {"Accept-Encoding": "identity", **(headers or {})}
    if key:
        sent["Authorization"] = f"Bearer {key}"
    return api.client.get(f"/v1/exports/{table}", params={**RANGE, **query}, headers=sent)


def ok(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return answer.content


def spare(start: datetime, number: int, *, offset: int, id: str = "") -> Line:
    moment = start + timedelta(minutes=number)
    return Line("spare", "calls", moment, id or f"id-{number}", Decimal(1), offset=offset)


def insert(settings: ClickHouseSettings, found: list[Line]) -> None:
    edge = ClickHouse(settings, settings.database)
    insert_events(edge, b"\n".join(line.written() for line in found))
    edge.close()
