"""The edge to Kafka: reading partitions from one offset to another. The only module here that imports its client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import bounds, come
from meterline_schemas.settings import KafkaSettings

Header = tuple[str, Any]


class Message(NamedTuple):
    """A record of a log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] | None


class Topics:
    """Reads topics, whose names are given without prefix. Never joins a group and commits nothing.

    ``uncommitted`` reads what aborted transactions wrote too.

    Raises:
        UnavailableError: Kafka does not answer, in every method.
    """

    def __init__(self, settings: KafkaSettings, *, uncommitted: bool = False, timeout: float = 30.0) -> None:
        self._settings = settings
        self._timeout = timeout
        config: dict[str, str | int | float | bool] = {
            "group.id": settings.topic("meterline-reconcile"),  # needed by the client, never used
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_uncommitted" if uncommitted else "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
        try:
            self._consumer = Consumer(settings.client(**config))
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None

    def partitions(self, topic: str) -> list[int]:
        name = self._settings.topic(topic)
        try:
            found = self._consumer.list_topics(name, timeout=self._timeout).topics[name]
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        if found.error is not None:
            raise UnavailableError(f"Kafka has no topic {name}; start Meterline once, it creates its topics")
        return sorted(found.partitions)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that the log still has, and its end."""
        try:
            return bounds(self._consumer, self._settings.topic(topic), partition, self._timeout)
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None

    def offset_at(self, topic: str, partition: int, moment: datetime) -> int | None:
        """The offset of the first record that the broker appended at ``moment`` or later, None if there is none."""
        at = TopicPartition(self._settings.topic(topic), partition, int(moment.timestamp() * 1000))
        try:
            (found,) = self._consumer.offsets_for_times([at], timeout=self._timeout)
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        return int(found.offset) if found.offset >= 0 else None

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """Records at offsets from ``start`` to before ``end``, or to where the log ends before that."""
        if start >= end:
            return
        self._consumer.assign([TopicPartition(self._settings.topic(topic), partition, start)])
        try:
            yield from self._read(topic, partition, end)
        finally:
            self._consumer.unassign()

    def _read(self, topic: str, partition: int, end: int) -> Iterator[Message]:
        deadline = time.monotonic() + self._timeout
        while True:
            for message in come(self._consumer, 2000, 0.1):
                error = message.error()
                offset: int = message.offset()
                if error is None:
                    if offset >= end:
                        return
                    yield Message(partition, offset, message.key(), message.value(), message.headers())
                    if offset == end - 1:
                        return
                    deadline = time.monotonic() + self._timeout
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                    raise self._unavailable(error)
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"no answer from Kafka at {self._settings.kafka} for {self._timeout:.0f} s while reading "
                    f"{self._settings.topic(topic)}[{partition}]; is it running, and is METERLINE_KAFKA right?"
                )

    def close(self) -> None:
        self._consumer.close()

    def _unavailable(self, error: Any) -> UnavailableError:
        said = error.str() if isinstance(error, KafkaError) else str(error)
        return UnavailableError(
            f"Kafka at {self._settings.kafka} cannot be read: {said}; is it running, and are METERLINE_KAFKA and "
            "METERLINE_KAFKA_CONFIG right?"
        )
