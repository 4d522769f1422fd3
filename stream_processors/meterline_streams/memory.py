"""What a worker remembers of one partition, and the fold that takes it from one checkpoint to the next.

The walk of an event: its record comes in the order of offsets; the judge reads it; the index says whether it is a
repeat; if it counts and is not late, the cell of its hour takes it in. Records come in small batches, whose verdicts
go out at once; what a checkpoint's batches changed together is a ``Changes``, the new watermark with it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import compress
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from meterline_schemas.catalog import Metric
from meterline_schemas.event import AcceptedEvent
from meterline_schemas.reject import Reason, Reject
from meterline_streams import windows
from meterline_streams.counters import Counters
from meterline_streams.dedupe import IdIndex, digest, entries_from, entries_of
from meterline_streams.judge import Bounds, Judge, SourceRecord, Verdicts, instant
from meterline_streams.plain import PlainJudge
from meterline_streams.windows import Cell, Changed, Hours, Pair

ENTRIES_PER_CHUNK: Final = 12_000  # 20 bytes each: below 256 KB a record
SMALL_CHUNK: Final = 2_000
LONGEST_RUN: Final = 256  # small chunks: two minutes of a quiet partition
_UNKNOWN: Final = (Reason.UNKNOWN_METRIC, Reason.UNKNOWN_TENANT)


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
    def names_unknown(self) -> bool:
        """Whether a metric or tenant is named that the catalog may have by now."""
        return any(reject.reason in _UNKNOWN for reject in self.verdicts.rejects)


@dataclass
class Counted:
    """The verdicts on a batch, repeats told apart: what came of its lines."""

    accepted: list[AcceptedEvent]
    rejects: list[Reject]
    forwards: list[tuple[int, SourceRecord, int, bytes]]


@dataclass
class Changes:
    """What the batches since the last checkpoint changed: with their verdicts, all that this one has to write."""

    watermark: Watermark
    cells: list[Changed]
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)  # ids as records of the state topic: key, value
    dropped_chunks: list[bytes] = field(default_factory=list)  # expired, or written again as part of another
    closed: list[tuple[Pair, int]] = field(default_factory=list)


@dataclass(frozen=True)
class TimeRules:
    """The time rules in milliseconds. ``margin`` keeps an on-time event's id inside the horizon (see ``_bounds``)."""

    accept_past: int
    accept_future: int
    horizon: int
    margin: int

    @classmethod
    def of(cls, accept_past: timedelta, accept_future: timedelta, horizon: timedelta) -> TimeRules:
        future = _ms(accept_future)
        return cls(_ms(accept_past), future, _ms(horizon), future + max(_ms(horizon) // 72, 1))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _since_1970(timestamp: datetime) -> int:
    return _ms(timestamp - _EPOCH)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


class PartitionMemory:
    """One partition's ids, hours and watermark. ``fold`` mutates it: after a failed checkpoint it is worthless."""

    def __init__(
        self, topic: str, partition: int, partitions: int, limits: TimeRules, denied: Set[str] = frozenset()
    ) -> None:
        self.partition = partition
        self.watermark = Watermark()
        self.hours: Hours = {}
        self.counters = Counters(partition, partitions)
        self._pairs: dict[Pair, Pair] = {}
        self._limits = limits
        self._plain = PlainJudge(partition, partitions, denied)
        self._judge = Judge(topic, partition, partitions, denied)
        self._index = IdIndex(math.ceil(limits.horizon / 1000) + 1)
        self._chunks: OrderedDict[bytes, int] = OrderedDict()  # key → its newest id's time in seconds
        self._changed: list[Changed] = []  # since the last checkpoint, as are the ids
        self._new_ids: list[NDArray[np.void]] = []
        self._run: list[NDArray[np.void]] = []  # the ids of the last chunks, as long as they are small

    @property
    def active_pairs(self) -> Collection[Pair]:
        """Tenants and metrics that were used in the last hours."""
        return self._pairs.keys()

    def judge(
        self, records: Sequence[SourceRecord], metrics: Mapping[str, Metric], tenants: Set[str] | None = None
    ) -> Judged:
        """The verdicts on ``records``, which begin at the watermark, in the order of their offsets.

        ``tenants`` are those whose events count; None: everybody's. Changes nothing, so that a batch can be judged
        again once a metric or tenant that it names is known.
        """
        verdicts = Verdicts()
        clock, ids_since = self.watermark.clock, self.watermark.ids_since
        for record in records:
            clock = max(clock, record.appended)
            ids_since = max(ids_since, clock - self._limits.horizon)
            bounds = self._bounds(record, ids_since)
            plain = self._plain.judge(record, bounds, metrics, tenants)
            if plain is not None:
                verdicts.add_plain(*plain, clock // 1000)
            else:
                self._judge.judge(record, clock // 1000, bounds, metrics, verdicts, tenants)
        return Judged(records, verdicts, clock, ids_since)

    def fold(self, judged: Judged, version: int) -> Counted:
        """Count what was judged, once: the watermark moves past it. ``version`` is that of its checkpoint."""
        verdicts = judged.verdicts
        accepted = self._count(verdicts, judged.records, version)
        latest = max(map(attrgetter("timestamp"), accepted), default=None)
        before = self.watermark
        self.watermark = Watermark(
            next_offset=judged.records[-1].offset + 1,
            clock=judged.clock,
            ids_since=judged.ids_since,
            latest_timestamp=max(before.latest_timestamp, _since_1970(latest) if latest else 0),
            lines=before.lines + verdicts.lines,
            accepted=before.accepted + len(accepted),
            late=before.late + sum(map(attrgetter("late"), accepted)),
            rejected=before.rejected + sum(reject.lines for reject in verdicts.rejects),
            forwarded=before.forwarded + len(verdicts.forwards),
        )
        return Counted(accepted, verdicts.rejects, verdicts.forwards)

    def changes(self) -> Changes:
        """What was folded since the last call, and what that put out of reach."""
        changes = Changes(self.watermark, self._changed)
        self.counters.count_hours(self._changed)
        self._changed = []
        self._write_ids(changes)
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

    def _count(self, verdicts: Verdicts, records: Sequence[SourceRecord], version: int) -> list[AcceptedEvent]:
        """The candidates that are no repeats, counted; the others are added to the rejects."""
        candidates, quantities = verdicts.candidates, verdicts.quantities
        if not candidates:
            return []
        entries = entries_of(
            [digest(event.tenant_id, event.id) for event in candidates], verdicts.appended, len(candidates)
        )
        fresh = self._index.add(entries)
        if not fresh.all():
            by_offset = {record.offset: record for record in records}
            verdicts.rejects.extend(
                self._judge.repeat(event, by_offset[event.kafka_offset])
                for event in compress(candidates, (~fresh).tolist())
            )
            flags = fresh.tolist()
            quantities = list(compress(quantities, flags))
            candidates = list(compress(candidates, flags))
            entries = entries[fresh]
        self._changed += windows.fold(self.hours, self._pairs, candidates, quantities, version)
        self.counters.count_events(candidates, quantities, version)
        self._new_ids.append(entries)
        return candidates

    def _write_ids(self, changes: Changes) -> None:
        """New ids as chunks. A run of small ones is written again as one, so that a restore has few records to read."""
        if not self._new_ids:
            return
        self._run.append(np.concatenate(self._new_ids))
        self._new_ids = []
        entries = self._run[-1]
        if len(self._run) > LONGEST_RUN or sum(map(len, self._run)) >= SMALL_CHUNK:
            entries = np.concatenate(self._run)
            changes.dropped_chunks += [self._chunks.popitem()[0] for _ in self._run[1:]]
            self._run = []
        for start in range(0, len(entries), ENTRIES_PER_CHUNK):
            part = entries[start : start + ENTRIES_PER_CHUNK]
            key = b"ids/%020d/%06d" % (self.watermark.next_offset, start // ENTRIES_PER_CHUNK)
            changes.chunks.append((key, part.tobytes()))
            self._chunks[key] = int(part["seconds"][-1])

    def _expire(self, changes: Changes) -> None:
        """Forget ids that left the horizon and hours that no on-time event can reach any more."""
        ids_since = self.watermark.ids_since
        while self._chunks and (next(iter(self._chunks.values())) + 2) * 1000 < ids_since:
            changes.dropped_chunks.append(self._chunks.popitem(last=False)[0])
        self._run = self._run[max(0, len(self._run) - len(self._chunks)) :]
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
        self._chunks[key] = int(entries["seconds"][-1])
        # a quiet partition has many small chunks: they go into the index together, as long as times rise
        if self._new_ids and self._new_ids[-1]["seconds"][-1] > entries["seconds"][0]:
            self.end_restore()
        self._new_ids.append(entries)
        if len(self._new_ids) == LONGEST_RUN:
            self.end_restore()

    def end_restore(self) -> None:
        """After the last chunk."""
        if self._new_ids:
            self._index.add(np.concatenate(self._new_ids))
        self._new_ids = []

    def forget_chunk(self, key: bytes) -> None:
        """A chunk that was dropped. Its ids may be in the index still, which goes by their times alone."""
        self._chunks.pop(key, None)

    def restore_cell(self, pair: Pair, hour: int, cell: Cell) -> None:
        self.hours.setdefault(hour, {})[self._pairs.setdefault(pair, pair)] = cell
