"""The judge: which lines of a record could count, which are rejected and why, which belong elsewhere.

Pure: bytes, metrics, tenants and times in, verdicts out. Whether an event is a repeat is not judged here (``dedupe``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Final, NamedTuple

from meterline_schemas.catalog import Metric
from meterline_schemas.denied import line_without, without
from meterline_schemas.event import MAX_LINE_BYTES, MAX_LINES_PER_RECORD, AcceptedEvent, UsageEvent
from meterline_schemas.partitioning import partition_of
from meterline_schemas.reading import (
    InvalidLine,
    decode_line,
    glimpse,
    names_problem,
    read_properties,
    read_quantity,
    utc_milliseconds,
)
from meterline_schemas.reject import Reason, Reject, keep

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(milliseconds: int) -> datetime:
    """The UTC instant of milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


class SourceRecord(NamedTuple):
    """A record of ``usage.events``. Times are the broker's, milliseconds since 1970.

    ``first_appended`` differs from ``appended`` where the record was forwarded here (``hopped``).
    """

    offset: int
    value: bytes
    appended: int
    first_appended: int
    hopped: bool


@dataclass(frozen=True)
class Bounds:
    """What the judge measures an event time against, for one record. An event before ``late_before`` is late."""

    oldest: datetime
    newest: datetime
    late_before: datetime


@dataclass
class Verdicts:
    """What was judged of one batch, in the order of the lines.

    ``candidates`` will count unless they are repeats; ``quantities`` (nano-units) and ``appended`` (seconds) go with
    them, position by position. ``forwards`` are lines of other partitions' tenants: ``(partition, record, line,
    bytes)``.
    """

    candidates: list[AcceptedEvent] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    appended: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    forwards: list[tuple[int, SourceRecord, int, bytes]] = field(default_factory=list)
    lines: int = 0

    def add_plain(self, events: Sequence[AcceptedEvent], quantities: Sequence[int], seconds: int) -> None:
        """All lines of one record: candidates."""
        self.lines += len(events)
        self.candidates.extend(events)
        self.quantities.extend(quantities)
        self.appended.extend(repeat(seconds, len(events)))


def lines_of(value: bytes) -> list[bytes]:
    """The non-blank lines of a record: what ``kafka_line`` counts."""
    lines = value.split(b"\n")
    return lines if all(map(bytes.strip, lines)) else [line for line in lines if line.strip()]


class Judge:
    """Judges the records of one partition. Properties that are ``denied`` are not kept."""

    def __init__(self, topic: str, partition: int, partitions: int, denied: Set[str] = frozenset()) -> None:
        self._topic = topic
        self._partition = partition
        self._partitions = partitions
        self._denied = denied
        self._split: tuple[SourceRecord | None, list[bytes]] = (None, [])  # the lines of the last record split

    def judge(
        self,
        record: SourceRecord,
        seconds: int,
        bounds: Bounds,
        metrics: Mapping[str, Metric],
        verdicts: Verdicts,
        tenants: Set[str] | None = None,
    ) -> None:
        """Judge every line of ``record`` into ``verdicts``. ``seconds`` is the partition's clock at this record.

        ``tenants`` are those whose events count; None: everybody's.
        """
        received_at = instant(record.first_appended)
        events = self._decode(record, received_at, verdicts)
        candidates, quantities, appended = verdicts.candidates, verdicts.quantities, verdicts.appended
        for line, event in events:
            try:
                if (
                    not record.hopped
                    and (home := partition_of(event.tenant_id, self._partitions)) != self._partition
                    and names_problem(event) is None
                ):
                    verdicts.forwards.append((home, record, line, self._line(record, line)))
                    continue
                accepted, quantity = self._weigh(event, record.offset, line, received_at, bounds, metrics, tenants)
            except InvalidLine as problem:
                self._reject(record, line, self._line(record, line), received_at, problem, verdicts)
                continue
            candidates.append(accepted)
            quantities.append(quantity)
            appended.append(seconds)

    def _decode(self, record: SourceRecord, received_at: datetime, verdicts: Verdicts) -> list[tuple[int, UsageEvent]]:
        if b"\n" in record.value.strip():
            try:
                event = decode_line(record.value)
            except InvalidLine:
                pass
            else:  # a single event, written over several lines
                self._split = (record, [record.value])
                verdicts.lines += 1
                return [(0, event)]
        return self._decode_each(record, received_at, verdicts)

    def _decode_each(
        self, record: SourceRecord, received_at: datetime, verdicts: Verdicts
    ) -> list[tuple[int, UsageEvent]]:
        events = []
        lines = self._lines(record)
        verdicts.lines += len(lines)
        for number, line in enumerate(lines[:MAX_LINES_PER_RECORD]):
            try:
                events.append((number, decode_line(line)))
            except InvalidLine as problem:
                self._reject(record, number, line, received_at, problem, verdicts)
        rest = lines[MAX_LINES_PER_RECORD:]
        if rest:
            too_many = InvalidLine(
                Reason.INVALID_EVENT,
                f"the record has {len(lines)} lines, {MAX_LINES_PER_RECORD} are read; send smaller records",
            )
            self._reject(record, MAX_LINES_PER_RECORD, b"\n".join(rest), received_at, too_many, verdicts, len(rest))
        return events

    def _weigh(
        self,
        event: UsageEvent,
        offset: int,
        line: int,
        received_at: datetime,
        bounds: Bounds,
        metrics: Mapping[str, Metric],
        tenants: Set[str] | None,
    ) -> tuple[AcceptedEvent, int]:
        if not (event.id.isprintable() and event.tenant_id.isprintable()) or event.subject or event.source:
            problem = names_problem(event)
            if problem is not None:
                raise InvalidLine(Reason.INVALID_EVENT, problem)
        raw_properties = bytes(event.properties)
        properties = read_properties(raw_properties) if raw_properties else None
        if properties and self._denied:
            properties = without(properties, self._denied)
        nano, quantity = read_quantity(bytes(event.quantity))
        if tenants is not None and event.tenant_id not in tenants:
            raise InvalidLine(
                Reason.UNKNOWN_TENANT,
                f"tenant {event.tenant_id[:100]!r} is not defined; define it (POST /v1/tenants or "
                "`meterline catalog apply`) and replay, or correct the producer",
            )
        metric = metrics.get(event.metric)
        if metric is None:
            raise InvalidLine(Reason.UNKNOWN_METRIC, f"metric {event.metric[:100]!r} is not defined")
        if metric.tenant_id and metric.tenant_id != event.tenant_id:
            raise InvalidLine(Reason.UNKNOWN_METRIC, f"metric {metric.key!r} is another tenant's")
        if nano < 0 and not metric.allow_negative:
            raise InvalidLine(Reason.QUANTITY_OUT_OF_RANGE, f"metric {metric.key} takes no negative quantities")
        timestamp = event.timestamp
        if timestamp < bounds.oldest:
            raise InvalidLine(Reason.TOO_OLD, f"timestamp is before {bounds.oldest.isoformat()}")
        if timestamp > bounds.newest:
            raise InvalidLine(Reason.IN_FUTURE, f"timestamp is after {bounds.newest.isoformat()}")
        if timestamp.tzinfo is not UTC or timestamp.microsecond % 1000:
            timestamp = utc_milliseconds(timestamp)
        accepted = AcceptedEvent(
            event.tenant_id,
            event.metric,
            timestamp,
            event.id,
            quantity,
            self._partition,
            offset,
            line,
            received_at,
            event.subject or "",
            event.source or "",
            properties,
            1 if timestamp < bounds.late_before else 0,
        )
        return accepted, nano

    def repeat(self, event: AcceptedEvent, record: SourceRecord) -> Reject:
        """The reject of a candidate that turned out to be a repeat."""
        raw, encoding, size, sha256 = self._keep(self._line(record, event.kafka_line))
        return Reject(
            reason=Reason.DUPLICATE,
            detail="an event of this tenant with this id was counted before",
            kafka_topic=self._topic,
            kafka_partition=self._partition,
            kafka_offset=event.kafka_offset,
            kafka_line=event.kafka_line,
            received_at=event.received_at,
            raw=raw,
            raw_encoding=encoding,
            raw_bytes=size,
            raw_sha256=sha256,
            tenant_id=event.tenant_id,
            metric=event.metric,
            id=event.id,
        )

    def _keep(self, line: bytes) -> tuple[str, str, int, str]:
        """What a reject remembers of ``line``: length and hash are of the line as it came."""
        raw, encoding, size, sha256 = keep(line)
        if self._denied:
            raw, encoding = keep(line_without(line, self._denied))[:2]
        return raw, encoding, size, sha256

    def _line(self, record: SourceRecord, line: int) -> bytes:
        lines = self._lines(record)
        return lines[line] if line < len(lines) else record.value

    def _lines(self, record: SourceRecord) -> list[bytes]:
        if self._split[0] is not record:
            self._split = (record, lines_of(record.value))
        return self._split[1]

    def _reject(
        self,
        record: SourceRecord,
        number: int,
        line: bytes,
        received_at: datetime,
        problem: InvalidLine,
        verdicts: Verdicts,
        lines: int = 1,
    ) -> None:
        raw, encoding, size, sha256 = self._keep(line)
        tenant_id, metric, id = glimpse(line) if lines == 1 and size <= MAX_LINE_BYTES else ("", "", "")
        verdicts.rejects.append(
            Reject(
                reason=problem.reason,
                detail=problem.detail[:1000],
                kafka_topic=self._topic,
                kafka_partition=self._partition,
                kafka_offset=record.offset,
                kafka_line=number,
                received_at=received_at,
                raw=raw,
                raw_encoding=encoding,
                raw_bytes=size,
                raw_sha256=sha256,
                tenant_id=tenant_id,
                metric=metric,
                id=id,
                lines=lines,
            )
        )
