"""Tables of their own for each test, on the ClickHouse that the tests share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.sinks.harness import Feed, Gate, Sinks
from tests.support.late import insert_events


class Tables:
    """A migrated database; ``settings`` is how a sink finds it."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self._edge = ClickHouse(settings, settings.database)

    def insert(self, table: str, lines: Sequence[bytes]) -> None:
        """As the sink does."""
        if table == "usage_events_raw":
            insert_events(self._edge, b"\n".join(lines))
        else:
            self._edge.insert(table, b"\n".join(lines))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._edge.rows(sql)]

    def command(self, sql: str) -> None:
        self._edge.command(sql)

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that analysts can see and what it stands on, but for when it was written."""
        return {
            table: self.rows(f"SELECT * EXCEPT (inserted_at) FROM {table} FINAL ORDER BY ALL")
            for table in ("usage_events_raw", "usage_late_totals", "usage_totals", "rejected_events", "usage_progress")
        } | {
            view: self.rows(f"SELECT * FROM {view} ORDER BY ALL")
            for view in ("usage_hourly", "usage_daily", "usage_monthly")
        }

    def close(self) -> None:
        self._edge.close()


@pytest.fixture
def tables(migrated: ClickHouseSettings) -> Iterator[Tables]:
    made = Tables(migrated)
    yield made
    made.close()


@pytest.fixture
def feed(kafka: str, prefix: str) -> Iterator[Feed]:
    made = Feed(kafka, prefix)
    yield made
    made.close()


@pytest.fixture
def gate(tables: Tables) -> Iterator[Gate]:
    """A way to the tables that can be shut."""
    made = Gate(tables.settings)
    yield made
    made.shut()


@pytest.fixture
def sinks(feed: Feed, gate: Gate, tmp_path: Path) -> Iterator[Sinks]:
    """Sinks that reach ClickHouse through the gate."""
    made = Sinks(feed, gate.settings, tmp_path)
    yield made
    made.close()
