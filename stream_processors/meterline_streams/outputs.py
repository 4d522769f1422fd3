"""What a checkpoint writes: the records that carry a batch's changes, in the order in which they are produced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from meterline_schemas import topics
from meterline_schemas.progress import Progress
from meterline_schemas.total import Total
from meterline_streams.judge import instant
from meterline_streams.memory import Changes, PartitionMemory, Watermark
from meterline_streams.windows import Pair, cell_of, hour_of, hour_start, total_of

WATERMARK_KEY: Final = b"watermark"
HOUR_PREFIX: Final = b"hour/"
IDS_PREFIX: Final = b"ids/"

LINES_PER_RECORD: Final = 500
BYTES_PER_RECORD: Final = 512 * 1024

_encoder: Final = msgspec.json.Encoder()
_total_decoder: Final = msgspec.json.Decoder(Total)
_watermark_decoder: Final = msgspec.json.Decoder(Watermark)


class Output(NamedTuple):
    """One record of a checkpoint: topic without prefix, key, value (None deletes the key from a compacted topic)."""

    topic: str
    key: bytes | None
    value: bytes | None


def state_of_hours(partition: int, changes: Changes) -> Iterator[Output]:
    """Changed hours, to the state and, the same bytes, to ``usage.totals``; closed hours leave the state."""
    for pair, hour, cell in changes.cells:
        value = _encoder.encode(total_of(pair, hour, partition, cell))
        key = hour_key(pair, hour)
        yield Output(topics.STATE, HOUR_PREFIX + key, value)
        yield Output(topics.TOTALS, key, value)
    for pair, hour in changes.closed:
        yield Output(topics.STATE, HOUR_PREFIX + hour_key(pair, hour), None)


def state_of_ids(changes: Changes) -> Iterator[Output]:
    """New ids, and the removal of chunks that left the horizon."""
    for chunk in changes.chunks:
        yield Output(topics.STATE, chunk.key, chunk.value)
    for chunk in changes.expired_chunks:
        yield Output(topics.STATE, chunk.key, None)


def verdicts(changes: Changes) -> Iterator[Output]:
    """Accepted events and rejects, as lines."""
    yield from (Output(topics.ACCEPTED, None, value) for value in in_records(changes.accepted))
    yield from (Output(topics.REJECTED, None, value) for value in in_records(changes.rejects))


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


def restore(memory: PartitionMemory, key: bytes, value: bytes) -> None:
    """Take one live record of the state topic back into memory. Records must come in the order of their offsets."""
    if key == WATERMARK_KEY:
        memory.restore_watermark(_watermark_decoder.decode(value))
    elif key.startswith(IDS_PREFIX):
        memory.restore_chunk(key, value)
    elif key.startswith(HOUR_PREFIX):
        total = _total_decoder.decode(value)
        memory.restore_cell((total.tenant_id, total.metric), hour_of(total.hour), cell_of(total))
    else:
        raise ValueError(f"the state topic holds a record with key {key!r}, which this version does not know")
