"""Counters as the stream writes them, for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from meterline_schemas import topics
from meterline_schemas.counter import Counter
from meterline_schemas.partitioning import partition_of
from tests.support.cluster import producer


def counter(tenant_id: str, partitions: int, **fields: Any) -> Counter:
    """A complete counter on the partition that its tenant is at home on."""
    given = {
        "metric": "orders",
        "subject": "",
        "calendar": "monthly",
        "kafka_partition": partition_of(tenant_id, partitions),
        "since": 0,
        "version": 1,
        "complete": True,
    }
    return Counter(tenant_id=tenant_id, **{**given, **fields})


def write(bootstrap: str, prefix: str, *counters: Counter, tombstones: bool = False) -> None:
    """Write them to ``usage.counters``, or delete them there; acknowledged when this returns."""
    sender = producer(bootstrap)
    for each in counters:
        sender.produce(
            prefix + topics.COUNTERS,
            None if tombstones else msgspec.json.encode(each),
            each.key.record_key(),
            each.kafka_partition,
        )
    assert sender.flush(30) == 0
