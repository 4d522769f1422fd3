"""Seeded events: lines of JSON, packed into records, and an independent count of what they must come to."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from meterline_schemas.partitioning import partition_of
from tests.benchmarks.sizes import TENANTS
from tests.support.workload import METRICS

NAMES = sorted(METRICS)
LINES_PER_RECORD = 100
_RECENT = 5_000


class Made(NamedTuple):
    """One event of a workload. ``milliseconds`` is its time since the epoch."""

    tenant: str
    metric: str
    milliseconds: int
    line: str


class Message(NamedTuple):
    """A Kafka record to send. ``milliseconds`` is the record's own time, 0 for now."""

    partition: int
    value: bytes
    key: bytes | None = None
    milliseconds: int = 0


@dataclass(frozen=True)
class Workload:
    """Tenants × three metrics, times within an hour, quantities of 2 decimals, some ids sent again.

    The same events each time it is gone through.
    """

    events: int
    tenants: int = TENANTS
    repeats: float = 0.05
    seed: int = 7
    until: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __iter__(self) -> Iterator[Made]:
        rng = random.Random(self.seed)
        start = self.until - timedelta(hours=1)
        # one text per 100 ms: formatting a time costs more than all the rest
        times = [start + timedelta(milliseconds=100 * step) for step in range(36_000)]
        texts = [time.isoformat(timespec="milliseconds")[:-6] + "Z" for time in times]
        first = int(start.timestamp() * 1000)
        recent: list[Made] = []
        draw, below = rng.random, rng.randrange
        for number in range(self.events):
            if recent and draw() < self.repeats:
                yield recent[below(len(recent))]
                continue
            tenant, metric, step, cents = (
                f"tenant-{below(self.tenants)}",
                NAMES[below(3)],
                below(36_000),
                below(100_000),
            )
            made = Made(
                tenant,
                metric,
                first + 100 * step,
                f'{{"id":"{self.seed}-{number:010x}","tenant_id":"{tenant}","metric":"{metric}",'
                f'"quantity":"{cents // 100}.{cents % 100:02d}","timestamp":"{texts[step]}"}}',
            )
            if len(recent) < _RECENT:
                recent.append(made)
            else:
                recent[number % _RECENT] = made
            yield made


def in_batches(events: Iterable[Made], partitions: int, lines: int = LINES_PER_RECORD) -> Iterator[Message]:
    """Records of ``lines`` events each, as Meterline's producers send them."""
    waiting: list[list[str]] = [[] for _ in range(partitions)]
    for event in events:
        partition = partition_of(event.tenant, partitions)
        batch = waiting[partition]
        batch.append(event.line)
        if len(batch) == lines:
            yield Message(partition, "\n".join(batch).encode())
            batch.clear()
    for partition, batch in enumerate(waiting):
        if batch:
            yield Message(partition, "\n".join(batch).encode())


def one_by_one(events: Iterable[Made], partitions: int) -> Iterator[Message]:
    """A record an event, keyed by tenant and metric, its time the event's: what the peers read."""
    for event in events:
        yield Message(
            partition_of(event.tenant, partitions),
            event.line.encode(),
            f"{event.tenant}|{event.metric}".encode(),
            event.milliseconds,
        )


Totals = dict[str, tuple[int, Decimal]]  # tenant|metric|hour as 2026-11-21T05 → count and sum


def totals(lines: Iterable[str | bytes]) -> Totals:
    """Count and sum of every tenant, metric and hour, repeats counted as often as they come."""
    found: Totals = {}
    for line in lines:
        event = json.loads(line)
        key = f"{event['tenant_id']}|{event['metric']}|{event['timestamp'][:13]}"
        count, sum = found.get(key, (0, Decimal(0)))
        found[key] = (count + 1, sum + Decimal(event["quantity"]))
    return found


def without_repeats(lines: Iterable[str]) -> Iterator[str]:
    """The first line of each id. Ids of a workload are unique over all tenants."""
    seen: set[str] = set()
    for line in lines:
        id = line[7 : line.index('"', 7)]
        if id not in seen:
            seen.add(id)
            yield line
