"""What a worker remembers of one partition, and the fold that takes it from one checkpoint to the next.

The walk of an event: its record comes in the order of offsets; the judge reads it; the index says whether it is a
repeat; if it counts and is not late, the cell of its hour takes it in. What changed by a batch of records is a
``Changes``: together with the new watermark it is all that the checkpoint has to write.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from meterline_schemas.catalog import Metric
from meterline_schemas.event import AcceptedEvent
from meterline_schemas.reject import Reason, Reject
from meterline_streams import windows
from meterline_streams.dedupe import IdIndex, digest, entries_from, entries_of
from meterline_streams.judge import Bounds, Judge, SourceRecord, Verdicts, instant
from meterline_streams.windows import Cell, Hours, Pair

ENTRIES_PER_CHUNK: Final = 12_000  # 20 bytes each: below 256 KB a record


class Watermark(Struct, frozen=True, kw_only=True):
    """How far a partition is judged. Written with every checkpoint; on restore it is the authority.

    ``clock`` is the latest append time judged and ``ids_since`` the append time since which every id is in the
    index, both in milliseconds since 1970. The counts are of lines since the partition began.
    """

    next_offset: int = 0
    clock: int = 0
    ids_since: int = 0
    latest_timestamp: int = 0
    lines: int = 0
    accepted: int = 0
    late: int = 0
    rejected: int = 0
    forwarded: int = 0


@dataclass(frozen=True)
class Judged:
    """A batch with its verdicts, repeats not yet told apart; the partition's clock and ``ids_since`` after it."""

    records: Sequence[SourceRecord]
    verdicts: Verdicts
    clock: int
    ids_since: int

    @property
    def names_unknown_metric(self) -> bool:
        return any(reject.reason == Reason.UNKNOWN_METRIC for reject in self.verdicts.rejects)


@dataclass(frozen=True)
class Chunk:
    """Ids as one record of the state topic. It expires whole, with the newest of them."""

    key: bytes
    newest: int  # seconds
    value: bytes = b""


@dataclass
class Changes:
    """What one batch of records changed, and the verdicts on its lines."""

    watermark: Watermark
    accepted: list[AcceptedEvent]
    rejects: list[Reject]
    forwards: list[tuple[int, SourceRecord, int, bytes]]
    cells: list[tuple[Pair, int, Cell]]
    chunks: list[Chunk]
    expired_chunks: list[Chunk] = field(default_factory=list)
    closed: list[tuple[Pair, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """The time rules in milliseconds. ``margin`` keeps an on-time event's id inside the horizon (see ``_bounds``)."""

    accept_past: int
    accept_future: int
    horizon: int
    margin: int

    @classmethod
    def of(cls, accept_past: timedelta, accept_future: timedelta, horizon: timedelta) -> Limits:
        future = _ms(accept_future)
        return cls(_ms(accept_past), future, _ms(horizon), future + max(_ms(horizon) // 72, 1))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _since_1970(timestamp: datetime) -> int:
    return _ms(timestamp - _EPOCH)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


class PartitionMemory:
    """One partition's ids, hours and watermark. ``fold`` mutates it: after a failed checkpoint it is worthless."""

    def __init__(self, topic: str, partition: int, partitions: int, limits: Limits) -> None:
        self.partition = partition
        self.watermark = Watermark()
        self.hours: Hours = {}
        self._pairs: dict[Pair, Pair] = {}
        self._limits = limits
        self._judge = Judge(topic, partition, partitions)
        self._index = IdIndex(math.ceil(limits.horizon / 1000) + 1)
        self._chunks: deque[Chunk] = deque()

    def judge(self, records: Sequence[SourceRecord], metrics: Mapping[str, Metric]) -> Judged:
        """The verdicts on ``records``, which begin at the watermark, in the order of their offsets.

        Changes nothing, so that a batch can be judged again once a metric that it names is known.
        """
        verdicts = Verdicts()
        clock, ids_since = self.watermark.clock, self.watermark.ids_since
        for record in records:
            clock = max(clock, record.appended)
            ids_since = max(ids_since, clock - self._limits.horizon)
            self._judge.judge(record, clock // 1000, self._bounds(record, ids_since), metrics, verdicts)
        return Judged(records, verdicts, clock, ids_since)

    def fold(self, judged: Judged) -> Changes:
        """Count what was judged, once: the watermark moves past it."""
        records, verdicts = judged.records, judged.verdicts
        version = records[-1].offset + 1
        accepted, cells, chunks = self._count(verdicts, records, version)
        latest = max((event.timestamp for event in accepted), default=None)
        before = self.watermark
        self.watermark = Watermark(
            next_offset=version,
            clock=judged.clock,
            ids_since=judged.ids_since,
            latest_timestamp=max(before.latest_timestamp, _since_1970(latest) if latest else 0),
            lines=before.lines + verdicts.lines,
            accepted=before.accepted + len(accepted),
            late=before.late + sum(event.late for event in accepted),
            rejected=before.rejected + sum(reject.lines for reject in verdicts.rejects),
            forwarded=before.forwarded + len(verdicts.forwards),
        )
        changes = Changes(self.watermark, accepted, verdicts.rejects, verdicts.forwards, cells, chunks)
        self._expire(changes)
        return changes

    def _bounds(self, record: SourceRecord, ids_since: int) -> Bounds:
        # An on-time event is no older than ids_since + margin, and no event is accepted further ahead than
        # accept_future. So of two on-time copies with one timestamp, the first was judged after ids_since: its id is
        # in the index. Any other copy is late, and ClickHouse collapses it. Nothing counts twice.
        return Bounds(
            oldest=instant(record.first_appended - self._limits.accept_past),
            newest=instant(record.first_appended + self._limits.accept_future),
            late_before=instant(ids_since + self._limits.margin),
        )

    def _count(
        self, verdicts: Verdicts, records: Sequence[SourceRecord], version: int
    ) -> tuple[list[AcceptedEvent], list[tuple[Pair, int, Cell]], list[Chunk]]:
        candidates = verdicts.candidates
        if not candidates:
            return [], [], []
        entries = entries_of(
            [digest(event.tenant_id, event.id) for event in candidates], verdicts.appended, len(candidates)
        )
        fresh = self._index.add(entries)
        quantities = verdicts.quantities
        if not fresh.all():
            by_offset = {record.offset: record for record in records}
            flags = fresh.tolist()
            verdicts.rejects.extend(
                self._judge.repeat(event, by_offset[event.kafka_offset])
                for event, new in zip(candidates, flags, strict=True)
                if not new
            )
            quantities = [quantity for quantity, new in zip(quantities, flags, strict=True) if new]
            candidates = [event for event, new in zip(candidates, flags, strict=True) if new]
            entries = entries[fresh]
        cells = windows.fold(self.hours, self._pairs, candidates, quantities, version)
        chunks = []
        for start in range(0, len(entries), ENTRIES_PER_CHUNK):
            part = entries[start : start + ENTRIES_PER_CHUNK]
            key = b"ids/%020d/%06d" % (version, start // ENTRIES_PER_CHUNK)
            chunks.append(Chunk(key, int(part["seconds"][-1]), part.tobytes()))
        self._chunks.extend(Chunk(chunk.key, chunk.newest) for chunk in chunks)
        return candidates, cells, chunks

    def _expire(self, changes: Changes) -> None:
        """Forget ids that left the horizon and hours that no on-time event can reach any more."""
        ids_since = self.watermark.ids_since
        while self._chunks and (self._chunks[0].newest + 2) * 1000 < ids_since:
            changes.expired_chunks.append(self._chunks.popleft())
        reachable = ids_since + self._limits.margin
        for hour in [hour for hour in self.hours if windows.hour_start_ms(hour + 1) <= reachable]:
            changes.closed.extend((pair, hour) for pair in self.hours.pop(hour))
        if changes.closed:
            live = {pair for cells in self.hours.values() for pair in cells}
            self._pairs = {pair: pair for pair in live}

    def skip_to(self, offset: int) -> None:
        """Go on at ``offset``: what lies before it is not in the log any more."""
        self.watermark = msgspec.structs.replace(self.watermark, next_offset=offset)

    # restore: the state topic's records, in order, back into memory

    def restore_watermark(self, watermark: Watermark) -> None:
        self.watermark = watermark

    def restore_chunk(self, key: bytes, value: bytes) -> None:
        """Ids of one chunk. Chunks must come in the order in which they were written."""
        entries = entries_from(value)
        self._index.add(entries)
        self._chunks.append(Chunk(key, int(entries["seconds"][-1])))

    def restore_cell(self, pair: Pair, hour: int, cell: Cell) -> None:
        self.hours.setdefault(hour, {})[self._pairs.setdefault(pair, pair)] = cell
