"""Usage for tests, and an independent count of it: plain Python, no code of the pipeline."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

START = datetime(2026, 10, 29, 22, 0, tzinfo=UTC)  # the hours that follow cross days and a month
LARGEST = Decimal("999999999999999999.999999999")

Key = tuple[str, str, str]  # tenant, metric, start of the window as text
Answer = tuple[int, Decimal, Decimal, Decimal, Decimal, datetime, str]  # count sum min max last last_timestamp last_id


@dataclass(frozen=True)
class Event:
    """One accepted line. ``offset`` is unique, so it also says which of two was first."""

    tenant_id: str
    metric: str
    timestamp: datetime
    id: str
    quantity: Decimal
    late: bool
    partition: int
    offset: int

    @property
    def key(self) -> tuple[str, str, datetime, str]:
        return (self.tenant_id, self.metric, self.timestamp, self.id)

    def line(self) -> bytes:
        fields: dict[str, object] = {
            "tenant_id": self.tenant_id,
            "metric": self.metric,
            "timestamp": instant(self.timestamp),
            "id": self.id,
            "quantity": format(self.quantity, "f"),
            "kafka_partition": self.partition,
            "kafka_offset": self.offset,
            "kafka_line": 0,
            "received_at": instant(START + timedelta(days=4, milliseconds=self.offset)),
            "subject": f"user-{self.offset % 7}",
            "properties": {"region": ("eu", "us")[self.offset % 2], "tier": 'naïve "quoted" \\ 名'},
        }
        if self.late:
            fields["late"] = 1
        return json.dumps(fields).encode()


def instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def events(seed: int, count: int, partitions: int = 3) -> list[Event]:
    """Accepted lines in the order that they came, with repeats that only the raw table can tell.

    A repeat of an event that is on time is late, and may carry another quantity, as only a broken producer sends it.
    """
    chance = random.Random(seed)
    made: list[Event] = []
    for offset in range(count):
        if made and chance.random() < 0.1:
            first = chance.choice(made)
            other = first.quantity if chance.random() < 0.5 else Decimal(chance.randrange(10**6)) / 1000
            made.append(
                Event(first.tenant_id, first.metric, first.timestamp, first.id, other, True, first.partition, offset)
            )
            continue
        tenant = chance.randrange(12)
        quantity = chance.choice(
            [
                Decimal(chance.randrange(-(10**12), 10**12)) / 10**9,
                Decimal(chance.randrange(10**3)),
                LARGEST,
                -LARGEST,
                Decimal("0.000000001"),
            ]
        )
        made.append(
            Event(
                f"tenant-{tenant}",
                chance.choice(["calls", "storage"]),
                START + timedelta(seconds=100 * chance.randrange(2160), milliseconds=chance.choice([0, 1, 999])),
                f"id-{chance.randrange(10**9)}",
                quantity,
                chance.random() < 0.05,
                tenant % partitions,
                offset,
            )
        )
    return made


def standing(lines: Iterable[Event]) -> list[Event]:
    """One event of each key: on time before late, then the first that came."""
    best: dict[tuple[str, str, datetime, str], Event] = {}
    for event in lines:
        rival = best.get(event.key)
        if rival is None or (event.late, event.offset) < (rival.late, rival.offset):
            best[event.key] = event
    return list(best.values())


def window(moment: datetime, size: str) -> str:
    return moment.strftime({"hour": "%Y-%m-%d %H:00:00", "day": "%Y-%m-%d", "month": "%Y-%m-01"}[size])


def answers(lines: Iterable[Event], size: str) -> dict[Key, Answer]:
    """What the view of that window must say."""
    groups: dict[Key, list[Event]] = {}
    for event in standing(lines):
        groups.setdefault((event.tenant_id, event.metric, window(event.timestamp, size)), []).append(event)
    return {key: fold(group) for key, group in groups.items()}


def fold(group: list[Event]) -> Answer:
    with localcontext() as context:
        context.prec = 100
        quantities = [event.quantity for event in group]
        last = max(group, key=lambda event: (event.timestamp, event.id))
        return (
            len(group),
            sum(quantities, Decimal(0)),
            min(quantities),
            max(quantities),
            last.quantity,
            last.timestamp,
            last.id,
        )


def total(group: list[Event], version: int) -> bytes:
    """A record of usage.totals over on-time events of one tenant, metric, hour and partition."""
    count, amount, least, greatest, last, last_timestamp, last_id = fold(group)
    first = group[0]
    return json.dumps(
        {
            "tenant_id": first.tenant_id,
            "metric": first.metric,
            "hour": window(first.timestamp, "hour").replace(" ", "T") + "Z",
            "kafka_partition": first.partition,
            "version": version,
            "count": count,
            "sum": format(amount, "f"),
            "min": format(least, "f"),
            "max": format(greatest, "f"),
            "last": format(last, "f"),
            "last_timestamp": instant(last_timestamp),
            "last_id": last_id,
        }
    ).encode()


@dataclass(frozen=True)
class Checkpoint:
    """What the stream writes to one partition in one transaction."""

    partition: int
    accepted: list[bytes]
    rejected: list[bytes]
    totals: list[tuple[bytes, bytes]]
    progress: bytes


def checkpoints(lines: list[Event], every: int) -> list[Checkpoint]:
    """The stream's output for these lines, a checkpoint after each ``every`` of them; each has a reject too."""
    hours: dict[tuple[str, str, str, int], list[Event]] = {}
    made = []
    for start in range(0, len(lines), every):
        piece = lines[start : start + every]
        for partition in sorted({event.partition for event in piece}):
            part = [event for event in piece if event.partition == partition]
            changed = set()
            for event in part:
                if not event.late:
                    key = (event.tenant_id, event.metric, window(event.timestamp, "hour"), partition)
                    hours.setdefault(key, []).append(event)
                    changed.add(key)
            version = part[-1].offset + 1
            totals = [
                (json.dumps([k[0], k[1], k[2].replace(" ", "T") + "Z"]).encode(), total(hours[k], version))
                for k in sorted(changed)
            ]
            made.append(
                Checkpoint(partition, [e.line() for e in part], [reject(part[-1])], totals, progress(part, version))
            )
    return made


def reject(event: Event) -> bytes:
    return json.dumps(
        {
            "reason": "duplicate",
            "detail": "the same id came before",
            "kafka_topic": "usage.events",
            "kafka_partition": event.partition,
            "kafka_offset": event.offset,
            "kafka_line": 1,
            "received_at": instant(START),
            "raw": '{"id": "' + event.id + '"}\u0001',
            "raw_encoding": "utf-8",
            "raw_bytes": 20,
            "raw_sha256": "0" * 64,
            "tenant_id": event.tenant_id,
        }
    ).encode()


def progress(part: list[Event], version: int) -> bytes:
    return json.dumps(
        {
            "kafka_partition": part[0].partition,
            "next_offset": version,
            "received_until": instant(START + timedelta(milliseconds=version)),
            "latest_timestamp": instant(max(event.timestamp for event in part)),
            "lines": version + 1,
            "accepted": version,
            "late": 0,
            "rejected": 1,
            "forwarded": 0,
        }
    ).encode()
