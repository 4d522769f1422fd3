"""Rejected lines, whole: from their rows in ClickHouse or, where those hold the beginning only, from the topic."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.warehouse import Warehouse, text
from meterline_deploy.replay.asked import Asked
from meterline_schemas.reject import KEPT_BYTES
from meterline_schemas.replaying import EventKey
from meterline_schemas.topics import EVENTS

PAGE: Final = 500
_KEYS_AT_ONCE: Final = 100  # a query's text has a limit


class Place(NamedTuple):
    """Where a line was judged: its record on ``usage.events``, and which non-blank line of that from 0."""

    partition: int
    offset: int
    line: int

    def __str__(self) -> str:
        return f"usage.events[{self.partition}] offset {self.offset} line {self.line}"


class Rejected(NamedTuple):
    """A rejected line: ``line`` is None where it is not to be had whole."""

    place: Place
    tenant_id: str
    metric: str
    line: bytes | None


class RejectedLines:
    """Those that were asked for, as they are in ClickHouse when this is made: each distinct line once.

    Raises:
        UnavailableError: ClickHouse or Kafka does not answer, in every method.
    """

    def __init__(self, warehouse: Warehouse, topics: Topics, asked: Asked) -> None:
        self._warehouse = warehouse
        self._topics = topics
        # the first copy of each line; what is rejected again meanwhile is none of these
        self._places = [
            Place(int(partition), int(offset), int(line))
            for partition, offset, line in warehouse.rows(
                "SELECT kafka_partition, kafka_offset, kafka_line FROM rejected_events FINAL "
                f"WHERE {asked.condition()} ORDER BY received_at, kafka_partition, kafka_offset, kafka_line "
                "LIMIT 1 BY raw_sha256"
            )
        ]

    def __len__(self) -> int:
        return len(self._places)

    def pages(self) -> Iterator[list[Rejected]]:
        """All of them, in the order in which they came."""
        for start in range(0, len(self._places), PAGE):
            yield self._page(self._places[start : start + PAGE])

    def _page(self, places: Sequence[Place]) -> list[Rejected]:
        wanted = ", ".join(f"({place.partition}, {place.offset}, {place.line})" for place in places)
        rows = self._warehouse.rows(
            "SELECT kafka_partition, kafka_offset, kafka_line, tenant_id, metric, raw, raw_encoding, raw_bytes, "
            f"raw_sha256 FROM rejected_events FINAL WHERE kafka_topic = {text(EVENTS)} "
            f"AND (kafka_partition, kafka_offset, kafka_line) IN ({wanted})"
        )
        found: dict[Place, Rejected] = {}
        for partition, offset, number, tenant, metric, raw, encoding, size, sha256 in rows:
            place = Place(int(partition), int(offset), int(number))
            if int(size) > KEPT_BYTES:
                line = self._from_topic(place, str(sha256))
            else:
                line = base64.b64decode(raw) if encoding == "base64" else str(raw).encode()
            found[place] = Rejected(place, str(tenant), str(metric), line)
        return [found[place] for place in places if place in found]

    def _from_topic(self, place: Place, sha256: str) -> bytes | None:
        first, end = self._topics.bounds(EVENTS, place.partition)
        if not first <= place.offset < end:
            return None
        for message in self._topics.read(EVENTS, place.partition, place.offset, place.offset + 1):
            value = message.value or b""
            for line in (value, *value.split(b"\n")):
                if hashlib.sha256(line).hexdigest() == sha256:
                    return line
        return None


def counted(warehouse: Warehouse, keys: Collection[EventKey]) -> set[EventKey]:
    """Those of ``keys`` that are in ClickHouse as events that count.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    candidates = [key for key in keys if key.may_be_counted]
    found: set[EventKey] = set()
    for start in range(0, len(candidates), _KEYS_AT_ONCE):
        part = {_literal(key): key for key in candidates[start : start + _KEYS_AT_ONCE]}
        rows = warehouse.rows(
            "SELECT DISTINCT tenant_id, metric, toUnixTimestamp64Milli(timestamp), id FROM usage_events_raw "
            f"WHERE (tenant_id, metric, timestamp, id) IN ({', '.join(part)})"
        )
        there = {(str(tenant), str(metric), int(at), str(id)) for tenant, metric, at, id in rows}
        found |= {key for key in part.values() if (key.tenant_id, key.metric, _milliseconds(key), key.id) in there}
    return found


def _literal(key: EventKey) -> str:
    at = f"fromUnixTimestamp64Milli(toInt64({_milliseconds(key)}), 'UTC')"
    return f"({text(key.tenant_id)}, {text(key.metric)}, {at}, {text(key.id)})"


def _milliseconds(key: EventKey) -> int:
    return round(key.timestamp.timestamp() * 1000)
