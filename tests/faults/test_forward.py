"""Events that another client's partitioner put on the wrong partition: forwarded once, counted once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support import cluster
from tests.support.streams import Streams
from tests.support.workload import Workload

pytestmark = pytest.mark.faults


def _scattered(streams: Streams, seed: int, events: int) -> list[tuple[int, bytes]]:
    """Records on partitions that have nothing to do with their tenants."""
    rng = random.Random(seed)
    workload = Workload(seed=seed, events=events)
    return [(rng.randrange(streams.partitions), value) for _partition, value in workload.records(streams.home, 4)]


def test_events_on_the_wrong_partition_count_once(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        streams.send(_scattered(streams, 51, 4_000))
        streams.start("a")
        streams.drain("a")
        streams.drain("a")  # what was forwarded came behind the first end
        streams.check_exact()


@pytest.mark.parametrize(
    "place",
    ["before_commit", *(pytest.param(place, marks=pytest.mark.long) for place in ("before_begin", "after_commit"))],
)
def test_a_kill_around_the_forward_counts_once(kafka: str, prefix: str, tmp_path: Path, place: str) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        streams.send(_scattered(streams, 52, 2_000))
        for _ in range(2):
            streams.start("a", METERLINE_FAILPOINT=f"{place}:1")
            assert streams.exit_code("a", 40) == -9
            streams.send(_scattered(streams, 53, 200))
        streams.start("a")
        streams.drain("a")
        streams.drain("a")
        streams.check_exact()


@pytest.mark.parametrize("received", [None, b"9" * 400], ids=["null", "huge"])
def test_a_forward_that_arrives_wrong_again_is_counted_where_it_lies(
    kafka: str, prefix: str, tmp_path: Path, received: bytes | None
) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        records = list(Workload(seed=54, events=200, invalid=0).records(streams.home, streams.partitions))
        wrong = [((partition + 1) % streams.partitions, value) for partition, value in records]
        before = sum(cluster.ends(kafka, prefix + "usage.events").values())
        streams.expected = type(streams.expected)()
        streams.send([])
        cluster.produce(
            kafka, prefix + "usage.events", wrong, **{"meterline-hop": b"1", "meterline-received-at": received}
        )
        for _partition, value in wrong:
            for line in value.split(b"\n"):
                streams.expected.add(line, {"api_calls", "storage_gb", "orders"})
        streams.start("a")
        streams.drain("a")
        assert sum(cluster.ends(kafka, prefix + "usage.events").values()) == before + len(wrong)  # none went on
        streams.check_exact()
