"""Lines cut into records: each holds events of one partition, bounded in count and bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meterline_schemas.partitioning import partition_of

# An event that waits: whose it is, its JSON, and the bytes of that in UTF-8. A bare tuple: one is made per event.
Line = tuple[str, str, int]


@dataclass(slots=True, eq=False)
class Batch:
    """Lines that were taken together: whose each is, and its JSON; two lists, since a tuple for each is the garbage
    collector's work. ``left`` of them have no outcome yet. ``origin`` is the buffer's own."""

    tenants: list[str]
    texts: list[str]
    left: int
    origin: Any = None

    @classmethod
    def of(cls, lines: Sequence[Line], origin: Any = None) -> Batch:
        return cls([line[0] for line in lines], [line[1] for line in lines], len(lines), origin)

    @property
    def lines(self) -> list[Line]:
        return [(tenant, text, len(text.encode())) for tenant, text in zip(self.tenants, self.texts, strict=True)]


@dataclass(slots=True, eq=False)
class Record:
    """``events`` lines of NDJSON that took ``size`` bytes of the buffer."""

    partition: int
    value: bytes
    events: int
    size: int
    batch: Batch


def into_records(batch: Batch, partitions: int, max_events: int, max_bytes: int) -> Iterator[Record]:
    """Records of at most ``max_events`` and, unless one line is larger, ``max_bytes``; a tenant's events in order."""
    texts_of: defaultdict[int, list[str]] = defaultdict(list)
    for tenant_id, text in zip(batch.tenants, batch.texts, strict=True):
        texts_of[partition_of(tenant_id, partitions)].append(text)
    for partition, texts in texts_of.items():
        for start in range(0, len(texts), max_events):
            yield from _cut(partition, texts[start : start + max_events], max_bytes, batch)


def _cut(partition: int, texts: list[str], max_bytes: int, batch: Batch) -> Iterator[Record]:
    value = "\n".join(texts).encode()
    size = len(value) - len(texts) + 1
    if size <= max_bytes or len(texts) == 1:
        yield Record(partition, value, len(texts), size, batch)
        return
    middle = len(texts) // 2
    yield from _cut(partition, texts[:middle], max_bytes, batch)
    yield from _cut(partition, texts[middle:], max_bytes, batch)


def halves(record: Record) -> list[Record]:
    """A record of several events as two, for whoever takes no more at once."""
    lines = record.value.split(b"\n")
    middle = len(lines) // 2
    return [
        Record(record.partition, b"\n".join(half), len(half), sum(map(len, half)), record.batch)
        for half in (lines[:middle], lines[middle:])
    ]
