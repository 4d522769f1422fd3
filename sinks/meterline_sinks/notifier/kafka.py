"""The notifications as a consumer group reads them. An edge to Kafka."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from meterline_schemas.errors import ConfigurationError, IntegrityError, UnavailableError
from meterline_schemas.kafka_client import bounds
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import NOTIFICATIONS, NOTIFIER_GROUP
from meterline_sinks.fatal import fatal_error
from meterline_sinks.notifier.errors import OvertakenError

log = logging.getLogger(__name__)

_NO_OFFSET: Final = -1001  # RD_KAFKA_OFFSET_INVALID: the group has committed nothing

_DEFAULTS: Final[Mapping[str, Any]] = {
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 3_000,
    "fetch.wait.max.ms": 100,
    "socket.timeout.ms": 10_000,  # a commit that a lost broker never answers holds up everything for so long
    "topic.metadata.refresh.interval.ms": 30_000,
}
_REQUIRED: Final[Mapping[str, Any]] = {
    "isolation.level": "read_committed",  # of what was aborted nobody may be told
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # anything else hides that records were lost
    "enable.partition.eof": True,
    "partition.assignment.strategy": "range",
}


class Record(NamedTuple):
    """A record of ``meterline.notifications``."""

    partition: int
    offset: int
    value: bytes


class Source:
    """Partitions of the notifications, as the group assigns them, read from what is committed.

    Where the group has committed nothing for a partition, reading starts at the beginning of its log. Not thread-safe;
    ``committed`` is replaced whole and may be read from any thread.
    """

    def __init__(self, kafka: KafkaSettings, worker_id: str) -> None:
        self._topic = kafka.topic(NOTIFICATIONS)
        config: dict[str, Any] = {
            **_DEFAULTS,
            **kafka.client(),
            **_REQUIRED,
            "group.id": kafka.topic(NOTIFIER_GROUP),
            "client.id": "meterline-notifier",
            "error_cb": self._on_error,
        }
        if worker_id:
            config["group.instance.id"] = worker_id
        self.assigned = False  # the group has dealt its partitions, which may be none
        self.committed: Mapping[int, int] = {}
        self._next: dict[int, int] = {}  # what to commit once all before it is in the ledger
        self._dealt: list[TopicPartition] | None = None  # by the group, and not yet begun with
        self._member = False
        self._failure: Exception | None = None
        try:
            self._consumer = Consumer(config, logger=log)
        except KafkaException as failure:
            raise ConfigurationError(f"METERLINE_KAFKA_CONFIG is wrong: {failure.args[0].str()}") from None
        self._consumer.subscribe([self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def read(self, limit: int, timeout: float) -> list[Record] | None:
        """Up to ``limit`` records, waiting ``timeout`` seconds at most; must be called steadily.

        None: the partitions were dealt anew; ``committed`` names those of now, and reading begins there.

        Raises:
            OvertakenError: the log no longer has the next records of a partition.
            IntegrityError: the group has shut this process out.
            UnavailableError: Kafka does not let it read.
        """
        messages = self._consumer.consume(limit, timeout)
        shut_out = fatal_error(messages)
        if shut_out is not None:
            self._failure = _shut_out(shut_out)
        if self._failure is not None:
            raise self._failure
        if self._dealt is not None:
            self._start(self._dealt)  # what came with this call may be from before: it is read again
            self._dealt = None
            return None
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(Record(message.partition(), message.offset(), message.value() or b""))
                self._next[message.partition()] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._next[message.partition()] = message.offset()  # behind the marks of transactions
            else:
                self._fail(error, message.partition())
        return found

    def commit(self) -> bool:
        """Commit what was read, if that is more than before. False: not now; it goes with the next one.

        Raises:
            IntegrityError: the group has shut this process out.
        """
        wanted = {number: offset for number, offset in self._next.items() if self.committed.get(number) != offset}
        if not wanted:
            return True
        offsets = [TopicPartition(self._topic, number, offset) for number, offset in wanted.items()]
        try:
            answers = self._consumer.commit(offsets=offsets, asynchronous=False)
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
        self.committed = {**self.committed, **wanted}
        return True

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._dealt, self._member = partitions, True
        consumer.assign([])  # until it is known where to start

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._dealt, self._member = [], False
        self.assigned = False
        self.committed = {}
        log.info("gave back %d partitions", len(partitions))

    def _start(self, partitions: list[TopicPartition]) -> None:
        """Raises UnavailableError where Kafka does not answer: the next call tries again."""
        try:
            found = self._consumer.committed(partitions, timeout=10) if partitions else []
            starts = {item.partition: self._start_of(self._consumer, item) for item in found}
        except KafkaException as failure:
            raise UnavailableError(f"Kafka does not say where to start reading: {failure.args[0].str()}") from None
        self.committed, self._next = starts, {}
        self.assigned = self._member
        if not starts:
            return
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in starts.items()])
        log.info("reading %d partitions", len(starts))

    def _start_of(self, consumer: Consumer, item: TopicPartition) -> int:
        if item.error is not None:
            raise KafkaException(item.error)
        low, high = bounds(consumer, item.topic, item.partition, 5)
        offset: int = item.offset
        if offset == _NO_OFFSET:
            return low
        if offset < low:
            log.error(
                "offsets %d to %d of %s[%d] were deleted before anybody was told of them: the topic must keep them "
                "for longer than the notifier can be away",
                offset, low - 1, item.topic, item.partition,
            )  # fmt: skip
            return low
        if offset > high:
            log.error(
                "%s[%d] ends at %d, but was read up to %d: it was made anew or lost its end; reading all of it, and "
                "telling what the ledger does not know",
                item.topic, item.partition, high, offset,
            )  # fmt: skip
            return low
        return offset

    def _fail(self, error: KafkaError, partition: int) -> None:
        code = error.code()
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise OvertakenError(self._topic, partition, error.str())
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise UnavailableError(
                f"Kafka does not let the notifier read: {error.str()}. Grant READ on the topic and group."
            )
        log.warning("Kafka says: %s", error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = _shut_out(error)


def _shut_out(error: KafkaError) -> IntegrityError:
    return IntegrityError(
        f"the consumer group has shut this notifier out: {error.str()}. Is another one running with the same "
        "METERLINE_NOTIFY_WORKER_ID? Stop it, or give each its own."
    )


class Ends:
    """Where the partitions end for a reader of committed records; asked of the broker apart from the consumer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.topic(NOTIFICATIONS)
        self._admin = AdminClient(kafka.client(), logger=log)

    def read(self, partitions: Iterable[int], timeout: float) -> dict[int, int]:
        """The offset behind the last committed record of each.

        Raises:
            UnavailableError: the broker does not answer within ``timeout`` seconds.
        """
        wanted = {TopicPartition(self._topic, number): OffsetSpec.latest() for number in partitions}
        if not wanted:
            return {}
        try:
            answers = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout
            )
            return {item.partition: answer.result(timeout).offset for item, answer in answers.items()}
        except (KafkaException, TimeoutError) as failure:
            raise UnavailableError(f"Kafka does not say where {self._topic} ends: {failure}") from None
