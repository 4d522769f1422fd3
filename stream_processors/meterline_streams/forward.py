"""Forwarding: a tenant's lines that came on a wrong partition, by another client's partitioner, go to the right one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from meterline_schemas import topics
from meterline_schemas.errors import UnavailableError
from meterline_streams.judge import SourceRecord
from meterline_streams.settings import StreamSettings

_TIMEOUT: Final = 30.0
_BYTES_PER_RECORD: Final = 512 * 1024

Forward = tuple[int, SourceRecord, int, bytes]  # home partition, the record it came in, line, its bytes


class Forwarder:
    """Delivers forwards with a plain idempotent producer: control records do not belong on ``usage.events``.

    A forward may be delivered twice, by a crash between here and the commit; the id index drops the second.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._topic = settings.topic(topics.EVENTS)
        self._config: dict[str, Any] = {
            **settings.client(),
            "enable.idempotence": True,
            "linger.ms": 0,
            "message.max.bytes": 16_000_000,
            "log_level": 3,
        }
        self._producer: Producer | None = None
        self._lock = Lock()

    def deliver(self, source: int, forwards: Sequence[Forward]) -> None:
        """Return once every forward is acknowledged.

        Raises:
            UnavailableError: one was not, within half a minute.
        """
        if not forwards:
            return
        failed: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        with self._lock:
            if self._producer is None:
                self._producer = Producer(self._config)
            for home, value, headers in _records(source, forwards):
                self._producer.produce(self._topic, value, None, home, headers=headers, on_delivery=on_delivery)
            waiting = self._producer.flush(_TIMEOUT)
        if waiting or failed:
            raise UnavailableError(f"could not forward events: {failed[0].str() if failed else 'no answer from Kafka'}")


def _records(source: int, forwards: Sequence[Forward]) -> Iterator[tuple[int, bytes, list[tuple[str, Any]]]]:
    """One record per home partition and source record, cut by size."""
    groups: dict[tuple[int, int], list[Forward]] = {}
    for forward in forwards:
        groups.setdefault((forward[0], forward[1].offset), []).append(forward)
    for (home, offset), group in groups.items():
        start = 0
        while start < len(group):
            end, size = start, 0
            while end < len(group) and (end == start or size + len(group[end][3]) < _BYTES_PER_RECORD):
                size += len(group[end][3]) + 1
                end += 1
            part = group[start:end]
            start = end
            lines = ",".join(str(line) for _home, _record, line, _bytes in part)
            headers = [
                (topics.HOP_HEADER, b"1"),
                (topics.RECEIVED_HEADER, str(part[0][1].first_appended).encode()),
                (topics.ORIGIN_HEADER, f"{source}:{offset}:{lines}".encode()),
            ]
            yield home, b"\n".join(line for _home, _record, _line, line in part), headers
