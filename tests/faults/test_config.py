"""Metrics that appear or go while events are under way: one verdict a line, and no event ahead of its metric."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from meterline_schemas.catalog import Metric
from tests.support import cluster
from tests.support.recount import check_one_verdict_each
from tests.support.streams import Streams, wait_until

pytestmark = pytest.mark.faults


def _event(id: str, metric: str, quantity: int = 1) -> bytes:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {"id": id, "tenant_id": "acme", "metric": metric, "quantity": quantity, "timestamp": moment}
    ).encode()


def _verdicts(streams: Streams) -> tuple[list[str], list[tuple[str, str]]]:
    """Accepted ids, and (id, reason) of rejects."""
    accepted, rejected = [], []
    for name in ("accepted", "rejected"):
        for message in cluster.read_all(streams.bootstrap, f"{streams.prefix}usage.{name}"):
            if message.key() == b"progress":
                continue
            for line in message.value().split(b"\n"):
                row = json.loads(line)
                if name == "accepted":
                    accepted.append(row["id"])
                else:
                    rejected.append((row["id"], row["reason"]))
    return accepted, rejected


def _stopped(streams: Streams) -> bool:
    return Path(f"/proc/{streams.pid('a')}/stat").read_bytes().rsplit(b")", 1)[1].split()[0] == b"T"


@pytest.mark.parametrize("place", ["before_begin", "before_commit"])
def test_a_metric_defined_in_mid_checkpoint_gives_one_verdict(
    kafka: str, prefix: str, tmp_path: Path, place: str
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", METERLINE_FAILPOINT=f"{place}:1:STOP")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("e1", "fresh"))])
        wait_until(lambda: _stopped(streams), 40, "the worker frozen with its verdict made")
        streams.define("fresh")
        streams.kill("a")
        streams.start("a")
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _verdicts(streams) == (["e1"], [])  # the verdict that was never committed never was


def test_a_metric_deleted_in_mid_checkpoint_still_counts(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", METERLINE_FAILPOINT="before_commit:1:STOP")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("e1", "orders"))])
        wait_until(lambda: _stopped(streams), 40, "the worker frozen with its verdict made")
        producer = Producer({"bootstrap.servers": kafka})
        producer.produce(prefix + "meterline.config", key=b"metric/orders", value=None)
        assert producer.flush(20) == 0
        streams.kill("a")
        streams.start("a")
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _verdicts(streams) == (["e1"], [])


def test_an_event_sent_right_after_its_metric_was_defined_counts(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", METERLINE_CHECKPOINT_SECONDS="0.01")
        wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
        for number in range(200):
            streams.define(f"metric-{number}")
            cluster.produce(kafka, prefix + "usage.events", [(0, _event(f"e{number}", f"metric-{number}"))])
        streams.drain("a")
        accepted, rejected = _verdicts(streams)
        assert rejected == []
        assert sorted(accepted) == sorted(f"e{number}" for number in range(200))


def test_a_metric_that_changes_reaches_a_worker_that_runs(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        producer = Producer({"bootstrap.servers": kafka})

        def define(allow_negative: bool) -> None:
            definition = Metric(key="credits", allow_negative=allow_negative)
            producer.produce(prefix + "meterline.config", key=b"metric/credits", value=definition.encode())
            assert producer.flush(20) == 0

        define(allow_negative=False)
        streams.start("a", METERLINE_CATALOG_SECONDS="0.2", METERLINE_CHECKPOINT_SECONDS="0.05")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("before", "credits", -1))])
        streams.drain("a")
        assert _verdicts(streams) == ([], [("before", "quantity_out_of_range")])
        define(allow_negative=True)
        sent = itertools.count()

        def counted() -> bool:
            cluster.produce(kafka, prefix + "usage.events", [(0, _event(f"after-{next(sent)}", "credits", -1))])
            return bool(_verdicts(streams)[0])

        wait_until(counted, 40, "a negative quantity counts")
        assert streams.alive("a")
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
