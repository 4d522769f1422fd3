"""Plain Kafka work for tests: topics made and read without any code of the pipeline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from meterline_schemas.kafka_client import come

OUTPUTS = ("usage.accepted", "usage.rejected", "usage.totals")


def read_all(bootstrap: str, topic: str, *, isolation: str = "read_committed") -> Iterator[Message]:
    """Every record of every partition, from the log's start to its end as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    ended: set[int] = set()
    deadline = time.monotonic() + 60
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
        for message in come(consumer, 5000, 0.2):
            error = message.error()
            if error is None:
                deadline = time.monotonic() + 60
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise AssertionError(error.str())
    consumer.close()


_FROZEN = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._UNKNOWN_PARTITION)


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The end offset of each partition. A broker that was frozen may not know for a moment that it leads."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests"})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    deadline = time.monotonic() + 30
    found: dict[int, int] = {}
    while len(found) < len(partitions):
        number = next(number for number in partitions if number not in found)
        try:
            found[number] = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
        except KafkaException as error:
            if error.args[0].code() not in _FROZEN or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    consumer.close()
    return found


def judged(bootstrap: str, prefix: str) -> dict[int, int]:
    """The watermark of each partition, as the newest progress record on ``usage.accepted`` gives it."""
    found: dict[int, int] = {}
    for message in read_all(bootstrap, prefix + "usage.accepted"):
        if message.key() == b"progress":
            found[message.partition()] = json.loads(message.value())["next_offset"]
    return found


@lru_cache
def producer(bootstrap: str) -> Producer:
    """One idempotent producer for a whole test run: making one costs a quarter of a second."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.max.bytes": 15_000_000,
            "linger.ms": 1,
            "compression.type": "lz4",
            "log_level": 0,  # it outlives the broker
        }
    )


class _Deliveries:
    """What became of records that were produced."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failed.append(error.str())


def produce(bootstrap: str, topic: str, records: list[tuple[int, bytes]], **headers: bytes | None) -> None:
    """Records to given partitions, acknowledged when this returns."""
    delivered = _Deliveries()
    sender = producer(bootstrap)
    for partition, value in records:
        while True:
            try:
                sender.produce(
                    topic, value, partition=partition, headers=list(headers.items()) or None, on_delivery=delivered
                )
                break
            except BufferError:
                sender.poll(0.1)
        sender.poll(0)
    assert sender.flush(60) == 0
    assert not delivered.failed, delivered.failed


def produce_keyed(bootstrap: str, topic: str, records: Iterable[tuple[str | bytes, bytes | None]]) -> None:
    """Records under keys, acknowledged when this returns; None deletes a key."""
    delivered = _Deliveries()
    sender = producer(bootstrap)
    for key, value in records:
        sender.produce(topic, value, key, on_delivery=delivered)
    assert sender.flush(60) == 0
    assert not delivered.failed, delivered.failed


@lru_cache  # a request ends with its client: keep it
def admin(bootstrap: str) -> Any:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
