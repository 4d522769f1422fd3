"""Windows of time zones found by walking over the clock, and usage asked of the tables as the API asks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from meterline_api.clickhouse import ClickHouse
from meterline_api.models import UsageAnswer
from meterline_api.usage.answer import answer
from meterline_api.usage.parts import parts_of
from meterline_api.usage.query import UsageQuery
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Book, Metric

QUARTER = timedelta(minutes=15)
NAMES: dict[str, Callable[[datetime], Any]] = {  # what a clock on the wall says that is another in each window
    "hour": lambda at: (at.date(), at.hour, at.utcoffset()),
    "day": lambda at: at.date(),
    "week": lambda at: at.isocalendar()[:2],
    "month": lambda at: (at.year, at.month),
}


def windows(name: str, zone: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """``[start, end)`` cut wherever the clock of the zone comes to another window."""
    local, found = ZoneInfo(zone), [start]
    at = start.replace(minute=start.minute // 15 * 15)
    while (at := at + QUARTER) < end:
        if NAMES[name](at.astimezone(local)) != NAMES[name]((at - QUARTER).astimezone(local)):
            found.append(at)
    return list(itertools.pairwise([*found, end]))


def ask(
    api: ClickHouse, query: UsageQuery, metrics: Mapping[str, Metric], now: datetime, book: Book | None = None
) -> UsageAnswer:
    parts = parts_of(query, book or Book())
    return answer(query, api.rows_now(*build(query, metrics, now, parts)), metrics, parts)


def rows(found: UsageAnswer, *names: str) -> dict[tuple[Any, ...], tuple[int, str]]:
    """Count and value by start, metric and what else is named; a property by ``properties.<name>``."""
    by_key = {}
    for row in found.data:
        have = row.model_dump() | {f"properties.{name}": value for name, value in (row.properties or {}).items()}
        by_key[(row.start, row.metric, *(have[name] for name in names))] = (row.count, row.value)
    assert len(by_key) == len(found.data)
    return by_key


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
