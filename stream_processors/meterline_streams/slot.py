"""A partition's place in the worker: what waits for its next checkpoint, and the continuity check."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from meterline_streams.judge import SourceRecord
from meterline_streams.partition import Partition


class Arrival(Enum):
    """Where a record's offset lies against the next one that is due."""

    DUE = "due"
    JUDGED = "judged"  # before the watermark: its verdict is out
    AHEAD = "ahead"  # records between were not delivered


@dataclass
class Slot:
    """One owned partition in the worker. ``revoked`` slots are never checkpointed again and never acknowledge."""

    partition: Partition
    due: int = 0
    records: list[SourceRecord] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)  # the Faust events to acknowledge
    bytes: int = 0
    revoked: bool = False
    running: asyncio.Task[None] | None = None
    last_checkpoint: float = 0.0  # monotonic seconds
    last_seek: float = 0.0
    awaited: bool = False  # the due record was asked for again and has not come

    def arrival(self, offset: int) -> Arrival:
        if offset == self.due:
            return Arrival.DUE
        return Arrival.JUDGED if offset < self.due else Arrival.AHEAD

    def take(self, record: SourceRecord, event: Any) -> None:
        """Keep a due record for the next checkpoint."""
        self.awaited = False
        self.records.append(record)
        self.events.append(event)
        self.bytes += len(record.value)
        self.due = record.offset + 1

    def drain(self) -> tuple[list[SourceRecord], list[Any], int]:
        """What the next checkpoint holds: records, the events to acknowledge after it, bytes."""
        drained = self.records, self.events, self.bytes
        self.records, self.events, self.bytes = [], [], 0
        return drained
