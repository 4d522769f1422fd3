"""What a checkpoint writes: the records that carry a batch's changes, in the order in which they are produced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from meterline_schemas import topics
from meterline_schemas.counter import Base, Counter
from meterline_schemas.progress import Progress
from meterline_schemas.total import Total
from meterline_streams.counters import Counters, Settled
from meterline_streams.judge import instant
from meterline_streams.memory import Changes, Counted, PartitionMemory, Watermark
from meterline_streams.windows import Pair, cell_of, hour_of, hour_start, total_of

WATERMARK_KEY: Final = b"watermark"
HOUR_PREFIX: Final = b"hour/"
IDS_PREFIX: Final = b"ids/"

LINES_PER_RECORD: Final = 500
BYTES_PER_RECORD: Final = 512 * 1024

_encoder: Final = msgspec.json.Encoder()
_total_decoder: Final = msgspec.json.Decoder(Total)
_watermark_decoder: Final = msgspec.json.Decoder(Watermark)
_counter_decoder: Final = msgspec.json.Decoder(Counter)
_base_decoder: Final = msgspec.json.Decoder(Base)


class Output(NamedTuple):
    """One record of a checkpoint: topic without prefix, key, value (None deletes the key from a compacted topic)."""

    topic: str
    key: bytes | None
    value: bytes | None


def state_of_hours(partition: int, changes: Changes) -> Iterator[Output]:
    """Changed hours, to the state and, the same bytes, to ``usage.totals``; closed hours leave the state."""
    for pair, hour, cell, _count, _sum in changes.cells:
        value = _encoder.encode(total_of(pair, hour, partition, cell))
        key = hour_key(pair, hour)
        yield Output(topics.STATE, HOUR_PREFIX + key, value)
        yield Output(topics.TOTALS, key, value)
    for pair, hour in changes.closed:
        yield Output(topics.STATE, HOUR_PREFIX + hour_key(pair, hour), None)


def state_of_ids(changes: Changes) -> Iterator[Output]:
    """New ids, and the removal of chunks that left the horizon or were written again."""
    for key, value in changes.chunks:
        yield Output(topics.STATE, key, value)
    for key in changes.dropped_chunks:
        yield Output(topics.STATE, key, None)


def counters(settled: Settled) -> Iterator[Output]:
    """Counters that changed, the removal of closed ones, and what is to be told."""
    for key, value in settled.counters:
        yield Output(topics.COUNTERS, key, value)
    for key in settled.closed:
        yield Output(topics.COUNTERS, key, None)
    for notification in settled.notifications:
        yield Output(topics.NOTIFICATIONS, notification.tenant_id.encode(), notification.encode())


def verdicts(counted: Counted) -> Iterator[Output]:
    """Accepted events and rejects, as lines."""
    yield from (Output(topics.ACCEPTED, None, value) for value in in_records(counted.accepted))
    yield from (Output(topics.REJECTED, None, value) for value in in_records(counted.rejects))


def progress(partition: int, watermark: Watermark) -> Iterator[Output]:
    """The end of the checkpoint on every output topic, and the watermark itself, last of all."""
    value = _encoder.encode(
        Progress(
            kafka_partition=partition,
            next_offset=watermark.next_offset,
            received_until=instant(watermark.clock),
            latest_timestamp=instant(watermark.latest_timestamp),
            lines=watermark.lines,
            accepted=watermark.accepted,
            late=watermark.late,
            rejected=watermark.rejected,
            forwarded=watermark.forwarded,
        )
    )
    for topic in (topics.ACCEPTED, topics.REJECTED, topics.TOTALS):
        yield Output(topic, topics.PROGRESS_KEY, value)
    yield Output(topics.STATE, WATERMARK_KEY, _encoder.encode(watermark))


def hour_key(pair: Pair, hour: int) -> bytes:
    return _encoder.encode([*pair, hour_start(hour)])


def in_records(rows: Sequence[Any]) -> Iterator[bytes]:
    """Rows as NDJSON in values of at most ``LINES_PER_RECORD`` lines and, a single line aside, ``BYTES_PER_RECORD``."""
    for start in range(0, len(rows), LINES_PER_RECORD):
        yield from _fitting(rows[start : start + LINES_PER_RECORD])


def _fitting(rows: Sequence[Any]) -> Iterator[bytes]:
    value = _encoder.encode_lines(rows)[:-1]
    if len(value) <= BYTES_PER_RECORD or len(rows) == 1:
        yield value
        return
    half = len(rows) // 2
    yield from _fitting(rows[:half])
    yield from _fitting(rows[half:])


def restore(memory: PartitionMemory, records: Iterable[tuple[bytes, bytes | None]]) -> bool:
    """Take the state topic's records back into memory, in the order of their offsets; whether there were any.

    A later record of a key replaces an earlier one, and None removes it.
    """
    hours: dict[bytes, bytes] = {}  # most are replaced: only the last of each is worth decoding
    found = False
    for key, value in records:
        found = True
        if key.startswith(HOUR_PREFIX):
            if value is None:
                hours.pop(key, None)
            else:
                hours[key] = value
        elif key.startswith(IDS_PREFIX):
            if value is None:
                memory.forget_chunk(key)
            else:
                memory.restore_chunk(key, value)
        elif key == WATERMARK_KEY and value is not None:
            memory.restore_watermark(_watermark_decoder.decode(value))
        else:
            raise ValueError(f"the state topic holds a record with key {key!r}, which this version does not know")
    memory.end_restore()
    for value in hours.values():
        total = _total_decoder.decode(value)
        memory.restore_cell((total.tenant_id, total.metric), hour_of(total.hour), cell_of(total))
    return found


def restore_counters(counters: Counters, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Take the records of ``usage.counters`` back into memory: the last of each key."""
    newest = dict(records)
    for value in newest.values():
        if value is not None:
            counters.restore(_counter_decoder.decode(value))


def read_base(value: bytes) -> Base:
    """A record of ``usage.bases``.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _base_decoder.decode(value)
