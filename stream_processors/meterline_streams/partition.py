"""One owned partition: opened once, then one Kafka transaction per checkpoint.

Opening fences whoever owned the partition before (``init_transactions`` raises the epoch of its transactional id and
ends what it left open), then reads the state to its end, read_committed. The watermark found there is the authority:
group offsets are a display.

A checkpoint, in this order:
 1. begin;
 2. judge and fold the pending records, a small batch at a time so that its objects stay in the processor's cache, and
    write its verdicts; the watermark is the last offset + 1;
 3. hold the counters that changed against their limits, once;
    write ids, hours, totals, counters, alerts, progress and the watermark: all of it to this partition's number;
 4. deliver forwarded lines with the plain producer: before the commit, so that a crash repeats rather than loses them;
 5. commit; only then may the source records be acknowledged.
Any failure from 1 on leaves memory ahead of the log: the caller must end the process, nothing is repaired in place.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from threading import Lock
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Producer

from meterline_schemas import topics
from meterline_schemas.counter import Base
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import fence
from meterline_schemas.kafka_log import KafkaLog, group_offset
from meterline_streams import outputs
from meterline_streams.catalog import Catalog
from meterline_streams.errors import EventsLostError, StateMissingError
from meterline_streams.failpoints import reach
from meterline_streams.forward import Forward, Forwarder
from meterline_streams.judge import SourceRecord, instant
from meterline_streams.memory import Judged, PartitionMemory, TimeRules
from meterline_streams.settings import StreamSettings

log = logging.getLogger("meterline.streams")

_TIMEOUT: Final = 30.0  # seconds that a broker may take to answer before the process ends
_BATCH_BYTES: Final = 256 * 1024  # of records judged together


class Partition:
    """One partition of ``usage.events`` and everything that its checkpoint needs. Not safe to share between threads.

    ``turn`` is shared by all partitions of a process: one of them counts at a time, since threads that compete for
    the interpreter take it from each other in the midst of work. Commits are waited for side by side.
    """

    def __init__(
        self,
        settings: StreamSettings,
        number: int,
        partitions: int,
        catalog: Catalog,
        forwarder: Forwarder,
        turn: Lock,
    ) -> None:
        self.number = number
        self._settings = settings
        self._catalog = catalog
        self._forwarder = forwarder
        self._turn = turn
        rules = TimeRules.of(settings.accept_past, settings.accept_future, settings.horizon)
        self._memory = PartitionMemory(topics.EVENTS, number, partitions, rules, settings.denied_properties)
        self._bases: deque[Base] = deque()  # read by one thread, added by another
        self._bases_log: KafkaLog | None = None
        self._producer = Producer(self._producer_config())

    @property
    def next_offset(self) -> int:
        """The watermark: the first offset that is not judged."""
        return self._memory.watermark.next_offset

    def open(self) -> None:
        """Fence the former owner and restore.

        Raises:
            StateMissingError: no state although the partition was processed before.
            EventsLostError: the log starts after the watermark.
            UnavailableError: the broker does not answer.
        """
        try:
            fence(self._producer, self._topic(topics.EVENTS), _TIMEOUT)
        except KafkaException as error:
            raise UnavailableError(f"cannot open partition {self.number}: {error.args[0].str()}") from None
        restored = self._restore()
        log = self._log(topics.EVENTS)
        start = log.start_offset()
        log.close()
        if not restored:
            self._refuse_to_recount()
        if start > self.next_offset:
            if restored and self._settings.accept_lost.get(self.number) != start:
                raise EventsLostError(self._topic(topics.EVENTS), self.number, self.next_offset, start)
            self._memory.skip_to(start)

    def is_due(self, now: datetime) -> bool:
        """Whether a checkpoint without records has something to write: limits changed, or a period ended."""
        return bool(self._bases) or self._memory.counters.is_due(self._catalog.limits, now)

    def look_for_bases(self) -> None:
        """Read what counters that began in the midst of a period lack, as far as it is told."""
        if not self._memory.counters.incomplete:
            return
        if self._bases_log is None:
            self._bases_log = self._log(topics.BASES)
        for record in self._bases_log.read_to_end():
            if record.value is not None:
                try:
                    self._bases.append(outputs.read_base(record.value))
                except msgspec.DecodeError as error:
                    log.warning("record %d of %s is passed over: %s", record.offset, topics.BASES, error)

    def checkpoint(self, records: Sequence[SourceRecord], now: datetime) -> None:
        """Judge, count and commit ``records``, which begin at the watermark, if there are any: steps 1 to 5 above."""
        flush = self._producer.flush
        counters = self._memory.counters
        began, reached = self._reached(records, now)
        reach("before_begin")
        self._producer.begin_transaction()
        with self._turn:
            counters.begin(self._catalog.limits, self.next_offset, now, began, self._memory.active_pairs)
            forwards = self._count(records)
            changes = self._memory.changes()
            counters.add_bases([self._bases.popleft() for _ in range(len(self._bases))])
            reach("after_accepted", flush)
            self._write(outputs.state_of_ids(changes))
            reach("after_ids", flush)
            self._write(outputs.state_of_hours(self.number, changes))
            reach("after_state", flush)
            self._write(outputs.counters(counters.settle(reached)))
            reach("after_counters", flush)
            self._write(outputs.progress(self.number, changes.watermark) if records else ())
            reach("after_watermark", flush)
        self._forwarder.deliver(self.number, forwards)
        reach("before_commit", flush)
        self._producer.commit_transaction(_TIMEOUT)
        reach("after_commit")

    def _reached(self, records: Sequence[SourceRecord], now: datetime) -> tuple[datetime, datetime]:
        """The times up to which the log is judged before and after these records.

        Without records that is now, unless the log has some that did not come yet: they may be of a period that has
        ended, and go before its end.
        """
        if records:
            return min(now, instant(records[0].appended)), min(now, instant(records[-1].appended))
        if self._memory.counters.ends(now) and self.next_record_offset() is not None:
            judged = instant(self._memory.watermark.clock)
            return judged, judged
        return now, now

    def _count(self, records: Sequence[SourceRecord]) -> list[Forward]:
        """Judge and fold, and write the verdicts; lines that belong elsewhere are returned."""
        forwards: list[Forward] = []
        version = records[-1].offset + 1 if records else 0
        for batch in _batches(records):
            judged = self._judge(batch)
            if judged.names_unknown:
                self._catalog.refresh()
                judged = self._judge(batch)
            counted = self._memory.fold(judged, version)
            self._write(outputs.verdicts(counted))
            forwards += counted.forwards
        return forwards

    def _judge(self, batch: Sequence[SourceRecord]) -> Judged:
        book = self._catalog.book
        return self._memory.judge(batch, book.metrics, self._settings.counted(book.tenants))

    def next_record_offset(self) -> int | None:
        """Where the first record at or after the watermark really lies, asked of the log directly."""
        return self._first_offset(topics.EVENTS, self.next_offset)

    def close(self) -> None:
        """Let go of the partition; whatever was not committed never happened."""
        self._producer.purge()
        self._producer.flush(1)
        if self._bases_log is not None:
            self._bases_log.close()

    def _write(self, records: Any) -> None:
        produce = self._producer.produce
        for topic, key, value in records:
            while True:
                try:
                    produce(self._topic(topic), value, key, self.number)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        self._producer.poll(0)

    def _restore(self) -> bool:
        with closing(self._log(topics.COUNTERS)) as log:
            outputs.restore_counters(self._memory.counters, _keyed(log))
        with closing(self._log(topics.STATE)) as log:
            return outputs.restore(self._memory, _keyed(log))

    def _refuse_to_recount(self) -> None:
        state, events = self._topic(topics.STATE), self._topic(topics.EVENTS)
        committed = group_offset(self._settings.client(), self._topic(topics.STREAM_GROUP), events, self.number)
        if committed:
            evidence = f"the group has committed offset {committed} of {events}[{self.number}]"
            raise StateMissingError(state, self.number, evidence)
        if self._first_offset(topics.ACCEPTED) is not None:  # committed: what was aborted bears no witness
            evidence = f"{self._topic(topics.ACCEPTED)}[{self.number}] was written to"
            raise StateMissingError(state, self.number, evidence)

    def _first_offset(self, topic: str, start: int | None = None) -> int | None:
        """The offset of the first committed record of this partition of ``topic``, at or after ``start``."""
        log = self._log(topic, start)
        try:
            first = next(iter(log.read_to_end()), None)
        finally:
            log.close()
        return None if first is None else first.offset

    def _log(self, topic: str, start: int | None = None) -> KafkaLog:
        return KafkaLog(self._settings.client(), self._topic(topic), self.number, start=start, timeout=_TIMEOUT)

    def _topic(self, name: str) -> str:
        return self._settings.topic_prefix + name

    def _producer_config(self) -> dict[str, Any]:
        settings = self._settings
        return {
            **settings.client(),
            "transactional.id": f"{settings.topic(topics.STREAM_GROUP)}-{self.number}",
            "transaction.timeout.ms": int(settings.transaction_seconds * 1000),
            "compression.type": "lz4",
            "linger.ms": 500,  # a full batch or the commit sends; short waits only wake the sender for less
            "batch.size": 1_000_000,
            "message.max.bytes": 8_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
            "log_level": 3,
        }


def _keyed(log: KafkaLog) -> Iterator[tuple[bytes, bytes | None]]:
    return ((record.key, record.value) for record in log.read_to_end() if record.key is not None)


def _batches(records: Sequence[SourceRecord]) -> Iterator[Sequence[SourceRecord]]:
    """Runs of about ``_BATCH_BYTES``."""
    start = size = 0
    for position, record in enumerate(records, 1):
        size += len(record.value)
        if size >= _BATCH_BYTES or position == len(records):
            yield records[start:position]
            start, size = position, 0
