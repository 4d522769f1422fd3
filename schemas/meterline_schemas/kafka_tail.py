"""Following the partitions of a topic from their beginning for as long as the process lives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import Troubles, come, made


class Followed(NamedTuple):
    """A record, and where it lies: ``value`` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class KafkaTail:
    """All partitions of some topics, read_committed, from the beginning. Not safe to share between threads.

    ``caught_up`` turns true when everything that was there at the start has been read.
    """

    def __init__(self, client: Mapping[str, Any], topics: list[str], timeout: float = 30.0) -> None:
        self._troubles = Troubles(client)
        self._consumer = made(
            Consumer,
            {
                **client,
                "group.id": "meterline-reader",  # required by the client, never committed to
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 8192,  # read ahead: else a large catalog is in memory twice
                "log_level": 0,
                "error_cb": self._troubles,
            },
        )
        self._topics = topics
        self._timeout = timeout
        self._waiting: set[tuple[str, int]] | None = None

    @property
    def caught_up(self) -> bool:
        return self._waiting is not None and not self._waiting

    def read(self, seconds: float, limit: int = 5000) -> list[Followed]:
        """What came, waiting ``seconds`` at most.

        Raises:
            UnavailableError: the broker does not answer; call again.
        """
        if self._waiting is None:
            self._assign()
        found = []
        for message in come(self._consumer, limit, seconds):
            error = message.error()
            topic, partition = message.topic(), message.partition()
            if error is None:
                found.append(Followed(topic, partition, message.offset(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                assert self._waiting is not None  # noqa: S101 - assigned above
                self._waiting.discard((topic, partition))
            elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                raise UnavailableError(f"cannot read {topic}[{partition}]: {error.str()}")
        return found

    def close(self) -> None:
        self._consumer.close()

    def _assign(self) -> None:
        deadline = time.monotonic() + self._timeout
        partitions = []
        for topic in self._topics:
            try:
                found = self._consumer.list_topics(topic, timeout=max(0.1, deadline - time.monotonic())).topics[topic]
            except KafkaException as error:
                why = self._troubles.last(self._consumer) or error.args[0].str()
                raise UnavailableError(f"cannot read {topic}: {why}") from None
            if found.error is not None:
                raise UnavailableError(f"cannot read {topic}: {found.error.str()}; run `meterline setup`")
            partitions += [TopicPartition(topic, number, OFFSET_BEGINNING) for number in found.partitions]
        self._consumer.assign(partitions)
        self._waiting = {(partition.topic, partition.partition) for partition in partitions}
