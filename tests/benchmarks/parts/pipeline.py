"""The whole pipeline as processes: a stream worker and a sink, warm, in front of an app that tracks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meterline_schemas import topics
from meterline_schemas.partitioning import partition_of
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, Installation, Running, settle, wait
from tests.benchmarks.results import CheckFailedError
from tests.benchmarks.workload import NAMES, Message

_OURS = "startsWith(tenant_id, 'tenant-')"  # not what was sent to warm up


@dataclass(frozen=True)
class Pipeline:
    installation: Installation
    worker: Running
    sink: Running

    def check(self) -> None:
        """Raises EndedError where one of its processes does not run any more."""
        self.worker.check()
        self.sink.check()

    def judged(self) -> int:
        """Lines whose verdict is in ClickHouse, those of the warm-up included."""
        return int(self.installation.query("SELECT sum(lines) FROM {db}.usage_freshness")[0][0])

    def counted(self) -> int:
        """Events in the answers."""
        return int(self.installation.query(f"SELECT sum(h.count) FROM {{db}}.usage_hourly AS h WHERE {_OURS}")[0][0])

    def accepted_by_partition(self) -> dict[int, int]:
        """Events that count and are in ClickHouse, the warm-up's included, as ``usage_freshness`` says."""
        sql = "SELECT kafka_partition, accepted FROM {db}.usage_freshness"
        return {int(partition): int(count) for partition, count in self.installation.query(sql)}

    def counted_by_partition(self) -> dict[int, int]:
        """Events in the totals that the answers are made of."""
        sql = f"SELECT kafka_partition, sum(t.count) FROM {{db}}.usage_totals AS t FINAL WHERE {_OURS} GROUP BY 1"
        return {int(partition): int(count) for partition, count in self.installation.query(sql)}

    def stop(self) -> None:
        self.worker.stop()
        self.sink.stop()

    def verify(self, found: Mapping[str, Any]) -> str:
        """The answers, and the raw events, against what the app tracked, by tenant and metric.

        Raises:
            CheckFailedError: they differ.
        """
        if found["left"] or found["dropped"] or found["failed"]:
            raise CheckFailedError(f"of the app's events {found['dropped']} were dropped, {found['failed']} failed")
        expected = {key: (count, Decimal(sum)) for key, (count, sum) in found["expected"].items()}
        answers = self._by_key("sum(t.count), sum(t.sum)", "usage_hourly AS t")
        raw = self._by_key("count(), sum(toDecimal256(t.quantity, 9))", "usage_events AS t")
        for name, got in (("answers", answers), ("raw events", raw)):
            wrong = {key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key)}
            if wrong:
                first = min(wrong)
                raise CheckFailedError(
                    f"{len(wrong)} {name} are wrong, {first} for one: {got.get(first)}, not {expected.get(first)}"
                )
        events = sum(count for count, _sum in expected.values())
        return (
            f"count and sum of all {len(expected):,} pairs of tenant and metric, {events:,} events in all, equal an "
            "independent count in usage_hourly and in usage_events"
        )

    def _by_key(self, columns: str, table: str) -> dict[str, tuple[int, Decimal]]:
        sql = f"SELECT tenant_id, metric, {columns} FROM {{db}}.{table} WHERE {_OURS} GROUP BY tenant_id, metric"
        return {
            f"{tenant}|{metric}": (int(count), Decimal(sum))
            for tenant, metric, count, sum in self.installation.query(sql)
        }


def start(bench: Bench, name: str) -> Pipeline:
    """A pipeline through which an event of every partition has gone; ``judged`` counts them."""
    installation = bench.installation(name, clickhouse=True)
    pipeline = Pipeline(installation, bench.worker(installation), bench.sink(installation))
    pipeline.worker.wait_for_log(" open at offset ", installation.partitions)
    pipeline.sink.wait_for_log(r" reading \d+ partitions")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    messages = [
        Message(
            number,
            f'{{"id":"warm-up","tenant_id":"{_tenant(number, installation.partitions)}","metric":"{NAMES[0]}",'
            f'"quantity":1,"timestamp":"{now}"}}'.encode(),
        )
        for number in range(installation.partitions)
    ]
    kafka.fill(bench.bootstrap, installation.topic(topics.EVENTS), messages)
    wait(lambda: pipeline.judged() >= len(messages), 60, "the warm-up's events", pipeline.check)
    settle()
    return pipeline


def _tenant(partition: int, partitions: int) -> str:
    """A tenant that lives on a partition."""
    return next(name for name in map("warm-{}".format, range(10_000)) if partition_of(name, partitions) == partition)
