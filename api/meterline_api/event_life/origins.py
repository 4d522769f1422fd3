"""Where lines were read first: a tenant's line on another partition is forwarded, and its record says where from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from meterline_api.event_life.statements import Place
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import EVENTS, ORIGIN_HEADER

_MOST: Final = 20  # records that are looked at for one answer
_SECONDS: Final = 1.5


class Origins:
    """Reads single records of ``usage.events``, one question at a time; never joins a group. Connects when asked."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._settings = kafka
        self._topic = kafka.topic(EVENTS)
        self._consumer: Consumer | None = None
        self._reading = threading.Lock()

    def find(self, places: Iterable[Place]) -> dict[Place, Place | None]:
        """For each line where it was read first, None where that is here; what is not known is left out.

        Not known: Kafka keeps the record no longer, does not answer soon, or others ask for too much.
        """
        wanted = sorted(set(places))[:_MOST]
        deadline = time.monotonic() + _SECONDS
        if not self._reading.acquire(timeout=_SECONDS):
            return {}
        try:
            records = self._read({(place.partition, place.offset) for place in wanted}, deadline)
        except KafkaException:
            return {}
        finally:
            self._reading.release()
        found: dict[Place, Place | None] = {}
        for place in wanted:
            headers = records.get((place.partition, place.offset))
            if headers is not None:
                found[place] = _origin(headers, place.line)
        return found

    def close(self) -> None:
        with self._reading:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _read(self, wanted: set[tuple[int, int]], deadline: float) -> dict[tuple[int, int], list[tuple[str, Any]]]:
        """The headers of records, as far as they were read in time."""
        consumer = self._connected()
        left = sorted(wanted)
        found: dict[tuple[int, int], list[tuple[str, Any]]] = {}
        try:
            while left and time.monotonic() < deadline:
                # one record of each partition at a time
                now = dict(reversed(left))
                consumer.assign([TopicPartition(self._topic, *at) for at in now.items()])
                while now and time.monotonic() < deadline:
                    for message in consumer.consume(len(now), 0.05):
                        at = _place(message)
                        if at[0] not in now or (message.error() is None and at[1] < now[at[0]]):
                            continue
                        if message.error() is None and at[1] == now[at[0]]:
                            found[at] = list(message.headers() or [])
                        elif message.error() is not None and message.error().retriable():
                            continue
                        left.remove((at[0], now.pop(at[0])))  # found, or gone
        finally:
            consumer.unassign()
        return found

    def _connected(self) -> Consumer:
        if self._consumer is None:
            config: dict[str, str | int | float | bool] = {
                "group.id": self._settings.topic("meterline-event-life"),  # needed by the client, never used
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_uncommitted",
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": 65_536,
                "queued.max.messages.kbytes": 1024,
                "log_level": 0,
            }
            self._consumer = Consumer(self._settings.client(**config))
        return self._consumer


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    return -1 if partition is None else partition, -1 if offset is None else offset


def _origin(headers: Sequence[tuple[str, Any]], line: int) -> Place | None:
    """Where the line of a record came from, as its header has it: ``<partition>:<offset>:<line>,<line>…``."""
    for name, value in headers:
        if name == ORIGIN_HEADER and isinstance(value, bytes):
            try:
                partition, offset, numbers = value.decode().split(":")
                return Place(int(partition), int(offset), int(numbers.split(",")[line]))
            except (ValueError, IndexError):
                return None
    return None
