"""The edge to topics that this process writes now and then: ``usage.bases`` and ``meterline.deliveries``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline_schemas.errors import UnavailableError

_TIMEOUT: Final = 30.0


class Keyed(NamedTuple):
    """A record, and the partition that it is for."""

    partition: int
    key: bytes
    value: bytes


class Publisher:
    """Writes records, idempotently; connects with the first, gives up after ``timeout`` seconds. For one thread."""

    def __init__(self, client: Mapping[str, Any], topic: str, timeout: float = _TIMEOUT) -> None:
        self._client = {
            **client,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "message.timeout.ms": int(timeout * 1000),
            "log_level": 0,
        }
        self._topic = topic
        self._timeout = timeout
        self._producer: Producer | None = None

    def publish(self, records: Iterable[Keyed]) -> None:
        """On return Kafka holds all of them.

        Raises:
            UnavailableError: it may not hold all of them.
        """
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            producer = self._producer = self._producer or Producer(self._client)
            for partition, key, value in records:
                while True:
                    try:
                        producer.produce(self._topic, value, key, partition, on_delivery=delivered)
                        break
                    except BufferError:
                        producer.poll(0.1)
                producer.poll(0)
            left = producer.flush(self._timeout + 5)
        except KafkaException as error:
            left, failed = 1, [error.args[0].str()]
        if left or failed:
            self._producer = None  # after a fatal error it would take nothing more
            said = failed[0] if failed else "it did not answer in time"
            raise UnavailableError(f"Kafka did not take records of {self._topic}: {said}")
