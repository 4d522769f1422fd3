"""Lines cut into records: each holds events of one partition, bounded in count and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meterline_schemas.partitioning import partition_of

# An event that waits: whose it is, its JSON, and the bytes of that in UTF-8. A bare tuple: one is made per event.
Line = tuple[str, str, int]


@dataclass(slots=True, eq=False)
class Batch:
    """Lines that were taken together. ``left`` of them have no outcome yet. ``origin`` is the buffer's own."""

    lines: list[Line]
    left: int
    origin: Any = None


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
    waiting: dict[int, tuple[list[str], int]] = {}
    for tenant_id, text, size in batch.lines:
        partition = partition_of(tenant_id, partitions)
        texts, total = waiting.get(partition, ([], 0))
        if texts and (len(texts) >= max_events or total + size > max_bytes):
            yield _record(partition, texts, total, batch)
            texts, total = [], 0
        texts.append(text)
        waiting[partition] = texts, total + size
    for partition, (texts, total) in waiting.items():
        yield _record(partition, texts, total, batch)


def _record(partition: int, texts: list[str], size: int, batch: Batch) -> Record:
    return Record(partition, "\n".join(texts).encode(), len(texts), size, batch)
