"""Telling others what was done here: records of ``meterline.notifications``."""

from __future__ import annotations

import asyncio
import time
from threading import Event, Lock
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline_schemas import topics
from meterline_schemas.errors import UnavailableError
from meterline_schemas.notification import Notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import KafkaSettings

_TIMEOUT: Final = 10.0  # seconds


class Announcer:
    """Writes notifications, each to the partition of its tenant. Connects with the first. Safe from several threads."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topics.NOTIFICATIONS)
        self._connecting = Lock()
        self._producer: Producer | None = None

    async def announce(self, notification: Notification) -> None:
        """Write one; on return Kafka has acknowledged it.

        Raises:
            UnavailableError: Kafka does not answer; whether it was written is not known.
        """
        await asyncio.to_thread(self._announce, notification)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(1)

    def _connect(self) -> Producer:
        with self._connecting:
            if self._producer is None:
                self._producer = Producer(
                    {
                        **self._kafka.client(),
                        "enable.idempotence": True,
                        "linger.ms": 0,
                        "message.timeout.ms": int(_TIMEOUT * 1000),
                        "log_level": 0,
                    }
                )
            return self._producer

    def _announce(self, notification: Notification) -> None:
        answered = Event()
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            errors.extend([error] if error is not None else [])
            answered.set()

        try:
            producer = self._connect()
            partitions = len(producer.list_topics(self._topic, timeout=_TIMEOUT).topics[self._topic].partitions)
            if not partitions:
                raise UnavailableError(f"there is no topic {self._topic}; start Meterline once, it creates its topics")
            partition = partition_of(notification.tenant_id, partitions)
            producer.produce(self._topic, notification.encode(), partition=partition, on_delivery=delivered)
            deadline = time.monotonic() + _TIMEOUT + 1
            while not answered.is_set() and time.monotonic() < deadline:
                producer.poll(0.1)
        except (KafkaException, BufferError) as error:
            raise UnavailableError(f"cannot write {self._topic}: {error}") from None
        if errors or not answered.is_set():
            said = errors[0].str() if errors else "no answer"
            raise UnavailableError(f"Kafka did not acknowledge what was written to {self._topic}: {said}")
