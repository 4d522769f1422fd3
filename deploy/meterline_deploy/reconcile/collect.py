"""One pass over a partition of a topic: what it holds, as counts, places and hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from meterline_deploy.reconcile.buckets import LATE, Hashes
from meterline_deploy.reconcile.kafka import Message, Topics
from meterline_deploy.reconcile.lines import Places, Source, origins
from meterline_deploy.reconcile.report import Difference
from meterline_deploy.reconcile.scope import EVENTS, PROGRESS_KEY, Part, PartitionScope, Slices
from meterline_deploy.reconcile.shapes import Row, Shape

Advance = Callable[[int], None]  # told of each step how many records it went over


@dataclass
class Sources:
    """What ``usage.events`` holds: its records, and by partition the lines that other partitions were sent."""

    records: dict[int, Source] = field(default_factory=dict)
    forwards: dict[int, Places] = field(default_factory=dict)


def collect_sources(topics: Topics, scopes: list[PartitionScope], advance: Advance) -> Sources:
    """Read ``usage.events``: as the stream reads it, aborted transactions of other programs included."""
    found = Sources({scope.partition: Source() for scope in scopes}, {scope.partition: Places() for scope in scopes})
    for scope in scopes:
        source = found.records[scope.partition]
        until = scope.until.next_offset
        for message in steps(topics.read(EVENTS, scope.partition, scope.lines_from, scope.events[1]), advance):
            if message.offset < until:
                source.add(message.offset, message.value)
            for partition, offset, line in origins(message.headers):
                if partition in found.forwards:
                    found.forwards[partition].add(offset, line)
    found.forwards = {partition: places.distinct() for partition, places in found.forwards.items()}
    return found


@dataclass
class Collected:
    """The verdicts of one partition of a topic.

    ``spans`` says between which records of the topic the rows of each slice lie; ``unreadable`` records are no
    verdicts, or verdicts on another partition.
    """

    slices: Slices
    places: Places = field(default_factory=Places)
    hashes: Hashes = field(default_factory=Hashes)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    unreadable: list[Difference] = field(default_factory=list)


def collect_rows(
    topics: Topics, shape: Shape, partition: int, part: Part, slices: Slices, advance: Advance
) -> Collected:
    """Read a topic of verdicts; rows and their places are of all that is read, ``spans`` of the slices only."""
    found = Collected(slices)
    for message in steps(topics.read(shape.topic, partition, part.start, part.end), advance):
        if message.key == PROGRESS_KEY:
            continue
        rows = rows_of(shape, message, found.unreadable)
        for row in rows:
            found.places.add(row.offset, row.line, row.lines)
            key, whole = shape.hashes(row.texts)
            found.hashes.add(key, whole, rank(row), row.offset)
        if rows:
            offsets = [row.offset for row in rows]
            for piece in range(slices.of(min(offsets)), slices.of(max(offsets)) + 1):
                first, _last = found.spans.get(piece, (message.offset, 0))
                found.spans[piece] = (first, message.offset + 1)
    return found


def rank(row: Row) -> int:
    """Of several rows of one key the one with the lowest rank stands: on time before late, then the first."""
    return row.offset | LATE if row.late else row.offset


def rows_of(shape: Shape, message: Message, unreadable: list[Difference]) -> list[Row]:
    """The rows of a record; what is none is added to ``unreadable``."""
    try:
        rows = shape.read(message.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        unreadable.append(_unreadable(shape, message, f"it is no record of this topic: {error}"))
        return []
    wrong = [row for row in rows if row.partition != message.partition]
    if wrong:
        unreadable.append(_unreadable(shape, message, f"it speaks of partition {wrong[0].partition}"))
    return [row for row in rows if row.partition == message.partition]


def _unreadable(shape: Shape, message: Message, detail: str) -> Difference:
    key = {"topic": shape.topic, "partition": str(message.partition), "record": str(message.offset)}
    return Difference("unreadable", key, detail=detail)


def steps(messages: Iterator[Message], advance: Advance, every: int = 500) -> Iterator[Message]:
    """The messages, and every so often how many offsets they went over."""
    told: int | None = None
    at = 0
    for count, message in enumerate(messages):
        if told is None:
            told = message.offset
        at = message.offset
        if count % every == every - 1:
            advance(at - told)
            told = at
        yield message
    if told is not None:
        advance(at + 1 - told)
