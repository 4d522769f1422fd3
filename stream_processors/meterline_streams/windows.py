"""The window fold: running totals per tenant, metric and hour, exact, in any order and any split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from meterline_schemas.event import AcceptedEvent
from meterline_schemas.quantity import exact_nano, format_nano
from meterline_schemas.total import Total

HOUR_MS: Final = 3_600_000
_EPOCH_HOUR: Final = datetime(1970, 1, 1, tzinfo=UTC).toordinal() * 24

Pair = tuple[str, str]  # tenant_id, metric


@dataclass(slots=True)
class Cell:
    """A running total in nano-units. ``version`` is the watermark of the batch that changed it last."""

    count: int
    sum: int
    min: int
    max: int
    last: int
    last_timestamp: datetime
    last_id: str
    version: int


Changed = tuple["Pair", int, Cell, int, int]
"""A cell that a checkpoint changed, of a pair and hour, and its count and sum before."""

Hours = dict[int, dict[Pair, Cell]]  # hour number (hours since year 0) → pair → cell


def hour_of(timestamp: datetime) -> int:
    """The number of the UTC hour that a UTC instant lies in."""
    return timestamp.toordinal() * 24 + timestamp.hour


@lru_cache(maxsize=4096)
def hour_start(hour: int) -> datetime:
    return datetime.fromordinal(hour // 24).replace(hour=hour % 24, tzinfo=UTC)


def hour_start_ms(hour: int) -> int:
    """Milliseconds since 1970 at which an hour begins."""
    return (hour - _EPOCH_HOUR) * HOUR_MS


def fold(
    hours: Hours, pairs: dict[Pair, Pair], events: Iterable[AcceptedEvent], quantities: Iterable[int], version: int
) -> list[Changed]:
    """Count on-time events into ``hours``; the cells that changed, each once a version. ``pairs`` shares equal keys.

    ``quantities`` are the events' in nano-units. ``last`` belongs to the greatest (timestamp, id). Late events are
    passed over. One loop without calls: it runs once for every event there is.
    """
    changed = []
    current: int | None = None
    cells: dict[Pair, Cell] = {}
    for event, quantity in zip(events, quantities, strict=True):
        if event.late:
            continue
        timestamp = event.timestamp
        hour = timestamp.toordinal() * 24 + timestamp.hour
        if hour != current:
            current = hour
            cells = hours.setdefault(hour, {})
        pair = (event.tenant_id, event.metric)
        cell = cells.get(pair)
        if cell is None:
            pair = pairs.setdefault(pair, pair)
            cell = Cell(1, quantity, quantity, quantity, quantity, timestamp, event.id, version)
            cells[pair] = cell
            changed.append((pair, hour, cell, 0, 0))
            continue
        if cell.version != version:
            cell.version = version
            changed.append((pair, hour, cell, cell.count, cell.sum))
        cell.count += 1
        cell.sum += quantity
        if quantity < cell.min:
            cell.min = quantity
        elif quantity > cell.max:
            cell.max = quantity
        last = cell.last_timestamp
        if timestamp > last or (timestamp == last and event.id > cell.last_id):
            cell.last = quantity
            cell.last_timestamp = timestamp
            cell.last_id = event.id
    return changed


def total_of(pair: Pair, hour: int, partition: int, cell: Cell) -> Total:
    """The row of a cell."""
    return Total(
        tenant_id=pair[0],
        metric=pair[1],
        hour=hour_start(hour),
        kafka_partition=partition,
        version=cell.version,
        count=cell.count,
        sum=format_nano(cell.sum),
        min=format_nano(cell.min),
        max=format_nano(cell.max),
        last=format_nano(cell.last),
        last_timestamp=cell.last_timestamp,
        last_id=cell.last_id,
    )


def cell_of(total: Total) -> Cell:
    """The cell of a row: what ``total_of`` made, back in memory."""
    return Cell(
        total.count,
        exact_nano(total.sum),
        exact_nano(total.min),
        exact_nano(total.max),
        exact_nano(total.last),
        total.last_timestamp,
        total.last_id,
        total.version,
    )
