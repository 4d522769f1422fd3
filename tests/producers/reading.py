"""What a topic holds, read by a plain consumer."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka.admin import NewTopic

from tests.support import cluster

TOPIC = "usage.events"


def create_topic(bootstrap: str, prefix: str, partitions: int = 4, config: dict[str, str] | None = None) -> None:
    """``usage.events``, and nothing else."""
    topic = NewTopic(prefix + TOPIC, partitions, 1, config=config or {})
    (created,) = cluster.admin(bootstrap).create_topics([topic]).values()
    created.result(30)


def records(bootstrap: str, prefix: str) -> list[tuple[int, bytes]]:
    """Partition and value of every record."""
    return [(message.partition(), message.value()) for message in cluster.read_all(bootstrap, prefix + TOPIC)]


def events(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    """Every event of every record."""
    return [json.loads(line) for _partition, value in records(bootstrap, prefix) for line in value.split(b"\n")]
