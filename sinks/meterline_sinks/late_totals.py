"""Totals of late events: the hours that a batch touched, added up again from the raw table.

The stream does not count late events, so the sink does, after it has inserted the rows of a batch and before anything
says that they are there: before the progress row and before the offsets are committed. A row of ``usage_late_totals``
holds everything of its tenant, metric and hour; nothing is ever added to what is there.

Why that is exact:

1. What is added up are the late rows that stand, ``usage_events_raw FINAL WHERE late = 1``. Of the copies of one event
   (tenant, metric, timestamp, id) only the first in Kafka can be on time: whatever comes after it is found in the index
   of ids, or late. The sink inserts in the order of Kafka, one batch after the other, and an insert shows all of its
   rows of an hour at once (``INSERT_SETTINGS``). So at any moment the table has the copies up to some place of the log,
   and the one that stands of them is the first: it is never replaced by another. A late copy of an event on time does
   not stand from the moment it is there.
2. So the late rows of a cell that stand only become more, and two looks at a cell that count as many have seen the same
   rows. ``count`` is therefore the version: of the rows of one cell the one that saw most stands, whatever order they
   are written in. Offsets would not do: one source record's lines share an offset and may come in two batches.
3. Every late row is in the table when its own batch's look begins, and the look that saw most saw what all others did.
   So once the batch is done its rows are in what stands, whoever else writes: the same batch again after a crash, a
   sink that was frozen and another's rows came meanwhile, an attempt that was given up and still runs.
4. A cell without a late row that stands never had one, and gets no row: nothing is left to be replaced by a zero.

On a replicated table a look sees only what this replica has fetched. So it fetches first (``SYSTEM SYNC REPLICA``), and
METERLINE_CLICKHOUSE_URL has to lead to one server at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from meterline_sinks.late import Cell, pieces

TABLE: Final = "usage_late_totals"
_EVENTS: Final = "usage_events_raw"
_HOUR: Final = 3600

# the bounds choose the months; the list of cells chooses the granules, by the primary key
_WHERE: Final = (
    "late = 1 AND timestamp >= toDateTime({first:UInt32}, 'UTC') AND timestamp < toDateTime({end:UInt32}, 'UTC') "
    "AND (tenant_id, metric, toStartOfHour(timestamp)) IN {cells:Array(Tuple(String, String, DateTime('UTC')))}"
)
LOOK: Final = (
    "SELECT tenant_id, metric, toStartOfHour(timestamp) AS hour, count(), sum(toDecimal256(quantity, 9)), "
    "min(quantity), max(quantity), argMax(quantity, (timestamp, id)), max(timestamp), argMax(id, (timestamp, id)) "
    f"FROM {_EVENTS} FINAL WHERE {_WHERE} GROUP BY tenant_id, metric, hour"
)
_ADD_UP: Final = (
    f"INSERT INTO {TABLE} (tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id) {LOOK}"
)


class Asked(Protocol):
    """A database that takes statements with bound parameters."""

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None: ...

    def rows(self, sql: str) -> Sequence[Sequence[Any]]: ...


def parameters(cells: Sequence[Cell]) -> dict[str, Any]:
    """Of ``LOOK``, for these cells."""
    hours = [hour for _tenant, _metric, hour in cells]
    return {"first": min(hours), "end": max(hours) + _HOUR, "cells": list(cells)}


class LateTotals:
    def __init__(self, database: Asked) -> None:
        self._database = database
        self._replicated: bool | None = None

    def add_up(self, cells: Collection[Cell]) -> None:
        """Write the totals of these cells as the raw table has them now.

        Raises:
            CommandError: ClickHouse answered with an error, such as that the table is not made yet.
            UnavailableError: it does not answer. Totals may have been written, which does no harm.
        """
        if not cells:
            return
        if self._replicated is None:
            self._replicated = bool(
                self._database.rows(
                    f"SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = '{_EVENTS}' "
                    "AND startsWith(engine, 'Replicated')"
                )
            )
        if self._replicated:
            self._database.command(f"SYSTEM SYNC REPLICA {_EVENTS} LIGHTWEIGHT")
        for piece in pieces(cells):
            self._database.command(_ADD_UP, parameters(piece))
