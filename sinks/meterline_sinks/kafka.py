"""The edge to Kafka: one consumer group over what is to be kept in tables. Only this module imports the client."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final
from zlib import crc32

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from meterline_schemas.errors import ConfigurationError, IntegrityError, MeterlineError, UnavailableError
from meterline_schemas.kafka_client import bounds
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import (
    ACCEPTED,
    AUDIT,
    CONFIG,
    COSTS,
    INVOICES,
    ITEMS,
    NOTIFICATIONS,
    PAYMENTS,
    PUSHES,
    REJECTED,
    RUNS,
    SINK_GROUP,
    TOTALS,
)
from meterline_sinks.batch import Batch, Partition
from meterline_sinks.errors import LostRecordsError
from meterline_sinks.fatal import fatal_error
from meterline_sinks.settings import SinkSettings

log = logging.getLogger(__name__)

TOPICS: Final = (
    *(ACCEPTED, REJECTED, TOTALS, NOTIFICATIONS, CONFIG, AUDIT),
    *(INVOICES, COSTS, PAYMENTS, PUSHES, ITEMS, RUNS),
)
_NO_OFFSET: Final = -1001  # RD_KAFKA_OFFSET_INVALID: the group has committed nothing
_TIMEOUT: Final = 30.0  # seconds for the broker's answer to one question

_DEFAULTS: Final[Mapping[str, Any]] = {
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 3_000,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,  # with the default, 1000, a full queue halts reading for a second
    "queued.max.messages.kbytes": 65_536,
    "topic.metadata.refresh.interval.ms": 30_000,
}
_REQUIRED: Final[Mapping[str, Any]] = {
    "isolation.level": "read_committed",  # aborted verdicts must never be written
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # anything else hides that records were lost
    "enable.partition.eof": True,
    # the same partition of all topics of usage goes to one sink, and a rebalance starts from committed offsets
    "partition.assignment.strategy": "range",
}


class Source:
    """Partitions of the topics, as the group assigns them, read from what is committed.

    Where the group has committed nothing at all for a partition, reading starts at the beginning of its log.
    Not thread-safe; ``committed`` is replaced whole and may be read from any thread.
    """

    def __init__(self, kafka: KafkaSettings, sink: SinkSettings) -> None:
        config: dict[str, Any] = {
            **_DEFAULTS,
            **kafka.client(),
            **_REQUIRED,
            "group.id": kafka.topic(SINK_GROUP),
            "client.id": "meterline-sinks",
            "error_cb": self._on_error,
        }
        if sink.worker_id:
            # who comes back under its id keeps what it had been dealt, also where it now reads more topics (KIP-345)
            config["group.instance.id"] = f"{sink.worker_id}-{crc32(' '.join(TOPICS).encode()):08x}"
        self.assigned = False
        self.committed: Mapping[Partition, int] = {}
        self._names = {kafka.topic(name): name for name in TOPICS}
        self._full_names = {name: kafka.topic(name) for name in TOPICS}
        self._rebalanced = False
        self._held = False
        self._failure: MeterlineError | None = None
        try:
            self._consumer = Consumer(config, logger=log)
        except KafkaException as failure:
            raise ConfigurationError(f"METERLINE_KAFKA_CONFIG is wrong: {failure.args[0].str()}") from None
        self._consumer.subscribe(
            list(self._names), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def read_into(self, batch: Batch, limit: int, timeout: float) -> bool:
        """Add up to ``limit`` records to ``batch``, waiting ``timeout`` seconds at most; must be called steadily.

        False: the partitions were dealt anew, and what this process read or wrote without committing is no longer
        its own: the batch, and any before it, must be dropped. Nothing was added.

        Raises:
            LostRecordsError: the log no longer has the next records of a partition.
            IntegrityError: the group has shut this process out.
            UnavailableError: Kafka does not let it read.
        """
        self._rebalanced = False
        messages = self._consumer.consume(limit, timeout)
        shut_out = fatal_error(messages)
        if shut_out is not None:
            self._failure = _shut_out(shut_out)
        if self._failure is not None:
            raise self._failure
        if self._rebalanced:
            # what came with this call may be from before the rebalance or after it: read it again, from the start
            self._start()
            return False
        names = self._names
        add = batch.add
        for message in messages:
            error = message.error()
            if error is None:
                add(names[message.topic()], message.partition(), message.offset(), message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                topic, partition, end = names[message.topic()], message.partition(), message.offset()
                if end > self.committed.get((topic, partition), -1):
                    batch.skip_to(topic, partition, end)
            else:
                self._fail(error, message.topic(), message.partition())
        return True

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit, and wait for the broker's answer. False: not now, so try again with the next ones.

        Raises:
            IntegrityError: the group has shut this process out.
        """
        wanted = [TopicPartition(self._full_names[t], p, offset) for (t, p), offset in offsets.items()]
        try:
            answers = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as failure:
            error = failure.args[0]
            if error.fatal() or error.code() == KafkaError._FATAL:
                raise self._failure or _shut_out(error) from None
            log.warning("offsets are not committed yet: %s", error.str())
            return False
        refused = [answer for answer in answers if answer.error is not None]
        if refused:
            log.warning("offsets are not committed yet: %s", refused[0].error.str())
            return False
        self.committed = {**self.committed, **offsets}
        return True

    def hold(self, held: bool) -> None:
        """Stop or go on reading, while the membership in the group lives on."""
        if held != self._held:
            (self._consumer.pause if held else self._consumer.resume)(self._consumer.assignment())
            self._held = held

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalanced = True
        try:
            self.committed = self._starts(consumer, partitions)
        except MeterlineError as failure:
            self._failure = failure
            # else the client assigns them itself, from what is committed: about one close in 300 then never returned
            consumer.unassign()
            return
        self.assigned = True
        self._start()
        if self._held:
            consumer.resume(consumer.assignment())
            self._held = False
        log.info("reading %d partitions", len(self.committed))

    def _starts(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[Partition, int]:
        try:
            found = consumer.committed(partitions, timeout=_TIMEOUT) if partitions else []
            for item in found:
                if item.error is not None:
                    raise KafkaException(item.error)
            return {(self._names[item.topic], item.partition): _start_of(consumer, item) for item in found}
        except KafkaException as failure:
            raise UnavailableError(
                f"Kafka does not say where to start reading: {failure.args[0].str()}. Look at the broker's log."
            ) from None

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalanced = True
        self.assigned = False
        self.committed = {}
        log.info("gave back %d partitions", len(partitions))

    def _start(self) -> None:
        if self.assigned:
            self._consumer.assign([TopicPartition(self._full_names[t], p, o) for (t, p), o in self.committed.items()])

    def _fail(self, error: KafkaError, topic: str | None, partition: int) -> None:
        code = error.code()
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE) and topic is not None:
            low, high = bounds(self._consumer, topic, partition, _TIMEOUT)
            raise LostRecordsError(topic, partition, self.committed.get((self._names[topic], partition), 0), low, high)
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise UnavailableError(
                f"Kafka does not let the sink read: {error.str()}. Grant READ on the topic and group."
            )
        log.warning("Kafka says: %s", error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = _shut_out(error)


def _shut_out(error: KafkaError) -> IntegrityError:
    return IntegrityError(
        f"the consumer group has shut this sink out: {error.str()}. Is another one running with the same "
        "METERLINE_SINK_WORKER_ID? Stop it, or give each its own."
    )


def _start_of(consumer: Consumer, committed: TopicPartition) -> int:
    """Where to start reading: what is committed, and where nothing is, the beginning of the log.

    Raises:
        LostRecordsError: what is committed is not in the log. Behind its end the client would wait in silence; a new
            leader may know of the last records only after a moment, so that is asked several times.
    """
    offset: int = committed.offset
    low, high = bounds(consumer, committed.topic, committed.partition, _TIMEOUT)
    if offset == _NO_OFFSET:
        return low
    for _ in range(20):
        if offset <= high:
            break
        time.sleep(0.25)
        low, high = bounds(consumer, committed.topic, committed.partition, _TIMEOUT)
    if not low <= offset <= high:
        raise LostRecordsError(committed.topic, committed.partition, offset, low, high)
    return offset


class Ends:
    """Where partitions end for a reader of committed records; asked of the broker apart from the consumer.

    What the consumer itself knows is no use for finding out that the consumer has stopped.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._full_names = {name: kafka.topic(name) for name in TOPICS}
        self._admin = AdminClient(kafka.client(), logger=log)

    def read(self, partitions: Iterable[Partition], timeout: float) -> dict[Partition, int]:
        """The offset behind the last committed record of each.

        Raises:
            UnavailableError: the broker does not answer within ``timeout`` seconds.
        """
        wanted = {TopicPartition(self._full_names[t], p): (t, p) for t, p in partitions}
        if not wanted:
            return {}
        try:
            answers = self._admin.list_offsets(
                {item: OffsetSpec.latest() for item in wanted},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=timeout,
            )
            return {wanted[item]: answer.result(timeout).offset for item, answer in answers.items()}
        except (KafkaException, TimeoutError) as failure:
            raise UnavailableError(f"Kafka does not say where the topics end: {failure}") from None
