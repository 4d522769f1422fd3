"""Kafka as the benchmarks need it: topics filled, progress followed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.benchmarks.workload import Message


class Mark(NamedTuple):
    """A checkpoint that was committed: ``at`` by the broker's clock, the counts since the partition began."""

    at: float
    partition: int
    next_offset: int
    lines: int
    accepted: int
    rejected: int


def create(bootstrap: str, topic: str, partitions: int) -> None:
    """A plain topic whose records keep the time that they were sent with."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    for created in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        created.result(30)


def drop(bootstrap: str, prefix: str) -> None:
    """Delete the topics whose names begin with ``prefix``, so that what a part left does not slow the next one."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    names = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]
    if names:
        for done in admin.delete_topics(names).values():
            done.result(30)


def fill(bootstrap: str, topic: str, messages: Iterable[Message]) -> int:
    """Send to given partitions; on return all is acknowledged. How many records that was."""
    failed: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "message.max.bytes": 8_000_000,
            "queue.buffering.max.messages": 200_000,
            "log_level": 3,
        }
    )

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failed.append(error.str())

    count = 0
    for partition, value, key, milliseconds in messages:
        count += 1
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery=delivered, timestamp=milliseconds)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    if producer.flush(120) or failed:
        raise RuntimeError(f"the broker did not take all records of {topic}: {failed[:1]}")
    return count


class ProgressTail:
    """Follows the progress records of ``usage.rejected``, the smallest of the judged topics, as they are committed."""

    def __init__(self, bootstrap: str, prefix: str, partitions: int) -> None:
        self.marks: list[Mark] = []
        self._reached: dict[int, int] = {}
        topic = prefix + "usage.rejected"
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "benchmarks",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])

    def wait(self, ends: Mapping[int, int], seconds: float, check: Callable[[], None]) -> list[Mark]:
        """Return all marks once each partition is judged up to its offset in ``ends``, in the order of their times.

        ``check`` is called meanwhile and raises where waiting has become pointless.

        Raises:
            TimeoutError: it is not within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while any(self._reached.get(partition, 0) < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"judged up to {self._reached}, not {dict(ends)}, within {seconds:.0f} s")
            check()
            for message in self._consumer.consume(500, 0.1):
                if message.error() is None and message.key() == b"progress":
                    self._add(message.partition() or 0, message.timestamp()[1] / 1000, message.value() or b"")
        return sorted(self.marks)

    def close(self) -> None:
        self._consumer.close()

    def _add(self, partition: int, at: float, value: bytes) -> None:
        found = json.loads(value)
        self._reached[partition] = found["next_offset"]
        self.marks.append(
            Mark(at, partition, found["next_offset"], found["lines"], found["accepted"], found["rejected"])
        )
