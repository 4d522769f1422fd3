"""Reading a partition to its current end: how every process loads the compacted topics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import Troubles, bounds, come, made


class Record(NamedTuple):
    """A record of a log: ``value`` is None for a tombstone."""

    offset: int
    key: bytes | None
    value: bytes | None


class LogReader(Protocol):
    def read_to_end(self) -> Iterator[Record]: ...


class KafkaLog:
    """One partition, read_committed, from ``start``; each ``read_to_end`` goes on where the last one ended.

    The end is the last stable offset at the time of the call: records of open transactions come with a later call.

    Raises:
        ConfigurationError: librdkafka does not take ``client``.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._troubles = Troubles(client)
        self._consumer = made(
            Consumer,
            {
                **client,
                "group.id": "meterline-reader",  # required by the client, never committed to
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 20,
                "queued.max.messages.kbytes": 8192,  # many are open at once while a worker restores
                "log_level": 0,
                "error_cb": self._troubles,
            },
        )
        self._topic = topic
        self._partition = partition
        self._timeout = timeout
        self._next = start

    def read_to_end(self) -> Iterator[Record]:
        """Records from where the last call ended to the current end.

        Raises:
            UnavailableError: the broker did not answer within ``timeout`` seconds.
        """
        if self._next is None:
            self._next = self.start_offset()
        self._consumer.assign([TopicPartition(self._topic, self._partition, self._next)])
        deadline = time.monotonic() + self._timeout
        while True:
            for message in come(self._consumer, 1000, 0.1):
                error = message.error()
                if error is None:
                    offset: int = message.offset()
                    self._next = offset + 1
                    deadline = time.monotonic() + self._timeout
                    yield Record(offset, message.key(), message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._next = message.offset()
                    self._consumer.unassign()
                    return
                elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                    raise UnavailableError(f"cannot read {self._topic}[{self._partition}]: {error.str()}")
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"no answer from Kafka while reading {self._topic}[{self._partition}] for {self._timeout:.0f} s; "
                    f"{self._troubles.last(self._consumer) or 'is it running and is METERLINE_KAFKA right?'}"
                )

    def start_offset(self) -> int:
        """The first offset that the log still has.

        Raises:
            UnavailableError: the broker did not answer, or does not let the client in.
        """
        return self.bounds()[0]

    def bounds(self) -> tuple[int, int]:
        """The first offset that the log still has, and its end for a reader of committed records.

        Raises what ``start_offset`` raises.
        """
        try:
            return bounds(self._consumer, self._topic, self._partition, self._timeout)
        except KafkaException as error:
            why = self._troubles.last(self._consumer) or error.args[0].str()
            raise UnavailableError(f"cannot find the start of {self._topic}[{self._partition}]: {why}") from None

    @property
    def position(self) -> int:
        """Where the next ``read_to_end`` begins; 0 before the first."""
        return self._next or 0

    def seek(self, offset: int) -> None:
        """Let the next ``read_to_end`` begin there."""
        self._next = offset

    def close(self) -> None:
        self._consumer.close()


def group_offset(client: Mapping[str, Any], group: str, topic: str, partition: int, timeout: float = 30.0) -> int:
    """The offset that a consumer group has committed, 0 if none.

    Raises:
        UnavailableError: the broker did not answer.
    """
    consumer = made(Consumer, {**client, "group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=timeout)
    except KafkaException as error:
        raise UnavailableError(f"cannot read the offsets of group {group}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    return max(int(committed.offset), 0)
