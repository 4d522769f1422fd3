"""The ledger: ``meterline.deliveries``, written and read back. An edge to Kafka."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from meterline_schemas.delivery import Delivery, Resend, decode
from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.kafka_client import bounds, come
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import DELIVERIES
from meterline_sinks.notifier.errors import LedgerError
from meterline_sinks.notifier.index import Open

log = logging.getLogger(__name__)

_TIMEOUT: Final = 30.0
_SHORT_TIMEOUT: Final = 5.0


class Write(NamedTuple):
    """A record for the ledger; without ``value`` it is removed."""

    partition: int
    key: bytes
    value: bytes | None


def entry_of(opened: Open) -> Write:
    """The record of a delivery as it stands."""
    return Write(opened.partition, opened.delivery.record_key, opened.delivery.encode())


class Read(NamedTuple):
    """A record of the ledger, and where it lies."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class LedgerWriter:
    """Writes records, those of one partition in the order of the calls. Safe from several threads.

    An outage of the broker is waited out: a record is given up only where the broker refuses it.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.topic(DELIVERIES)
        self._failure: LedgerError | None = None
        config: dict[str, Any] = {
            **kafka.client(),
            "client.id": "meterline-notifier",
            "enable.idempotence": True,
            "message.timeout.ms": 0,
            "linger.ms": 2,
            "compression.type": "lz4",
            "error_cb": self._on_error,
        }
        try:
            self._producer = Producer(config, logger=log)
        except KafkaException as failure:
            raise ConfigurationError(f"METERLINE_KAFKA_CONFIG is wrong: {failure.args[0].str()}") from None

    def write(self, records: Iterable[Write], stopping: Callable[[], bool]) -> bool:
        """Write, and wait until the broker has all of them. False: it is stopping, and they may be written or not.

        Raises:
            LedgerError: the broker refuses them.
        """
        waiting = 0

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            nonlocal waiting
            waiting -= 1
            self._on_delivery(error, message)

        for record in records:
            waiting += 1
            while not self._queue(record, acknowledged):
                if stopping():
                    return False
                self._producer.poll(0.1)
        while waiting:
            if stopping():
                return False
            self._producer.poll(0.05)
            self.check()
        return True

    def send(self, record: Write) -> bool:
        """Write without waiting. False: the queue is full because the broker is away; try again."""
        queued = self._queue(record, self._on_delivery)
        self._producer.poll(0)
        return queued

    def check(self) -> None:
        """Raises LedgerError where the broker has refused a record."""
        if self._failure is not None:
            raise self._failure

    def flush(self, seconds: float) -> bool:
        """Wait until the broker has everything, for ``seconds`` at most."""
        return int(self._producer.flush(seconds)) == 0

    def _queue(self, record: Write, on_delivery: Callable[[KafkaError | None, Message], None]) -> bool:
        try:
            self._producer.produce(
                self._topic, partition=record.partition, key=record.key, value=record.value, on_delivery=on_delivery
            )
        except BufferError:
            return False
        except KafkaException as failure:
            self._failure = LedgerError(self._topic, failure.args[0].str())
            raise self._failure from None
        return True

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = LedgerError(self._topic, error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = LedgerError(self._topic, error.str())


class LedgerReader:
    """Follows some partitions of the ledger from their beginning. Not safe to share between threads."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(DELIVERIES)
        self._consumer = Consumer(
            {
                **kafka.client(),
                "group.id": "meterline-reader",  # required by the client, never committed to
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        self._behind: set[int] = set()

    def follow(self, partitions: Iterable[int]) -> None:
        """Begin again at the beginning of these, and of no others."""
        self._behind = set(partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in self._behind])

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at ``follow`` has been read."""
        return not self._behind

    def read(self, seconds: float) -> list[Read]:
        """What came, waiting ``seconds`` at most.

        Raises:
            UnavailableError: the broker does not let it read; call again.
        """
        found = []
        for message in come(self._consumer, 5000, seconds):
            error = message.error()
            if error is None:
                found.append(Read(message.partition(), message.offset(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(message.partition())
            elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                raise UnavailableError(f"cannot read {self._topic}: {error.str()}")
        return found

    def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each still has.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        found = {}
        for number in partitions:
            try:
                found[number], _end = bounds(self._consumer, self._topic, number, _SHORT_TIMEOUT)
            except KafkaException as failure:
                raise UnavailableError(
                    f"Kafka does not say where {self._topic} begins: {failure.args[0].str()}"
                ) from None
        return found

    def fetch(self, partition: int, offset: int) -> Delivery | None:
        """The delivery that lies at ``offset``; None where it is gone.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        single = KafkaLog(self._kafka.client(), self._topic, partition, start=offset, timeout=_TIMEOUT)
        try:
            if offset < single.start_offset():
                return None  # nothing can be read from there
            record = next(single.read_to_end(), None)
        finally:
            single.close()
        entry = decode(record.value) if record is not None and record.offset == offset and record.value else None
        return entry if isinstance(entry, Delivery) else None

    def close(self) -> None:
        self._consumer.close()


def resend(kafka: KafkaSettings, tenant_id: str, notification_id: str, target: str = "") -> Resend:
    """Ask for a notification of a tenant once more: by ``target``, or by all that were to be told.

    On return the request is written down; the notifier carries it out when it runs.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    request = Resend(id=uuid.uuid4().hex, notification_id=notification_id, target=target)
    topic = kafka.topic(DELIVERIES)
    producer = Producer({**kafka.client(), "enable.idempotence": True, "log_level": 0})
    try:
        found = producer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
    except KafkaException as failure:
        raise UnavailableError(f"cannot write {topic}: {failure.args[0].str()}") from None
    if not found.partitions:
        raise UnavailableError(f"{topic} does not exist; run `meterline setup`")
    refused: list[str] = []

    def acknowledged(error: KafkaError | None, _message: Message) -> None:
        refused.extend([error.str()] if error is not None else [])

    partition = partition_of(tenant_id, len(found.partitions))
    producer.produce(
        topic, partition=partition, key=request.record_key, value=request.encode(), on_delivery=acknowledged
    )
    if producer.flush(_TIMEOUT) or refused:
        raise UnavailableError(f"cannot write {topic}: {refused[0] if refused else 'the broker does not answer'}")
    return request
