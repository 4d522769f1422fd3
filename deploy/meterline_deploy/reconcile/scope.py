"""How far to look, per partition: from which offset on, up to which, and where in the topics that is.

Every checkpoint of the stream ends with a progress record on each of its topics: all verdicts before its
``next_offset`` lie before it, all others after it. So a range always begins and ends at checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.times import Period

EVENTS: Final = "usage.events"
ACCEPTED: Final = "usage.accepted"
REJECTED: Final = "usage.rejected"
TOTALS: Final = "usage.totals"
PROGRESS_KEY: Final = b"progress"

_SLICES: Final = 2048  # of a partition's offsets, each compared by its sums
_FIRST_WINDOW: Final = 64  # offsets looked at before a given one, for the last progress record


class Progress(Struct, frozen=True):
    """A progress record as documented. Counts are of lines since the partition began."""

    next_offset: int
    received_until: datetime | None = None
    lines: int = 0
    accepted: int = 0
    late: int = 0
    rejected: int = 0
    forwarded: int = 0

    def counts(self) -> dict[str, str]:
        names = ("lines", "accepted", "late", "rejected", "forwarded")
        return {name: str(getattr(self, name)) for name in names}


BEGINNING: Final = Progress(0)
_decoder: Final = msgspec.json.Decoder(Progress)


def read_progress(value: bytes | None) -> Progress | None:
    """The progress of a record with the key ``progress``; None where it is not one."""
    try:
        return _decoder.decode(value) if value else None
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True)
class Slices:
    """Offsets from ``start`` to before ``end`` in slices of equal width: the buckets that rows are compared by."""

    start: int
    end: int

    @property
    def width(self) -> int:
        return max(1, -(-(self.end - self.start) // _SLICES))

    def of(self, offset: int) -> int:
        return (offset - self.start) // self.width

    def offsets(self, first: int, last: int) -> tuple[int, int]:
        """The offsets that the slices from ``first`` to ``last`` hold: start, and end exclusive."""
        return self.start + first * self.width, min(self.end, self.start + (last + 1) * self.width)


@dataclass(frozen=True)
class Part:
    """A partition's share of one topic of verdicts: read from record ``start`` to before ``end``.

    ``since`` is the progress from which on all verdicts are read.
    """

    start: int
    end: int
    since: Progress


@dataclass(frozen=True)
class PartitionScope:
    """What to look at of one partition. ``newest`` is the latest progress there is, ``until`` that of the range."""

    partition: int
    newest: Progress
    until: Progress
    accepted: Part
    rejected: Part
    events: tuple[int, int]  # the log of usage.events: its first offset, and its end

    @property
    def lines_since(self) -> Progress:
        """From where on both topics of verdicts are read."""
        return max(self.accepted.since, self.rejected.since, key=lambda progress: progress.next_offset)

    @property
    def lines_from(self) -> int:
        """From which offset on each line is held against its verdict: no older one is left in the log."""
        return max(self.lines_since.next_offset, self.events[0])

    @property
    def unjudged(self) -> int:
        return max(0, self.events[1] - max(self.newest.next_offset, self.events[0]))

    def slices(self, part: Part, written: int) -> Slices:
        """The offsets whose rows are compared: what is asked for, as far as ClickHouse has been written."""
        start = part.since.next_offset
        return Slices(start, max(start, min(self.until.next_offset, written)))


def find(topics: Topics, period: Period) -> list[PartitionScope]:
    """The scope of each partition, judged yet or not. The period is of times at which the broker received lines.

    It is widened to whole checkpoints at both ends.
    """
    scopes = []
    for partition in topics.partitions(EVENTS):
        low, high = topics.bounds(ACCEPTED, partition)
        found = progress_before(topics, ACCEPTED, partition, high)
        newest = found[1] if found else BEGINNING
        rejected_bounds = topics.bounds(REJECTED, partition)
        scopes.append(
            PartitionScope(
                partition=partition,
                newest=newest,
                until=_until(topics, partition, high, period.end) or newest,
                accepted=_part(topics, ACCEPTED, partition, (low, high), period.start),
                rejected=_part(topics, REJECTED, partition, rejected_bounds, period.start),
                events=topics.bounds(EVENTS, partition),
            )
        )
    return scopes


def progress_before(topics: Topics, topic: str, partition: int, before: int) -> tuple[int, Progress] | None:
    """The last progress record at an offset below ``before``, and where it lies."""
    low, _high = topics.bounds(topic, partition)
    window, end = _FIRST_WINDOW, before
    while end > low:
        start = max(low, end - window)
        found = list(_progress_of(topics, topic, partition, start, end))
        if found:
            return found[-1]
        window, end = window * 4, start
    return None


def _progress_of(topics: Topics, topic: str, partition: int, start: int, end: int) -> Iterator[tuple[int, Progress]]:
    for message in topics.read(topic, partition, start, end):
        if message.key == PROGRESS_KEY:
            progress = read_progress(message.value)
            if progress is not None:
                yield message.offset, progress


def _part(topics: Topics, topic: str, partition: int, bounds: tuple[int, int], start: datetime | None) -> Part:
    low, high = bounds
    if start is not None:
        # what was received from then on was judged later than that
        at = topics.offset_at(topic, partition, start)
        before = progress_before(topics, topic, partition, high if at is None else at)
        if before is not None:
            return Part(before[0] + 1, high, before[1])
    if low == 0:
        return Part(0, high, BEGINNING)
    for _offset, progress in _progress_of(topics, topic, partition, low, high):
        return Part(low, high, progress)  # older verdicts of this checkpoint may be gone
    return Part(high, high, BEGINNING)


def _until(topics: Topics, partition: int, high: int, end: datetime | None) -> Progress | None:
    """The first progress that had received something at ``end`` or later."""
    if end is None:
        return None
    at = topics.offset_at(ACCEPTED, partition, end)
    if at is None:
        return None
    for _offset, progress in _progress_of(topics, ACCEPTED, partition, at, high):
        if progress.received_until is None or progress.received_until >= end:
            return progress
    return None
