"""Workers that join, leave, freeze and wake: nothing lost at a first start, nothing doubled by a zombie."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.support import cluster
from tests.support.streams import Streams, wait_until
from tests.support.workload import Workload

pytestmark = pytest.mark.faults

REPETITIONS = [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 10))]


@pytest.mark.parametrize("seed", REPETITIONS)
def test_a_backlog_survives_a_first_start_that_a_second_worker_joins(
    kafka: str, prefix: str, tmp_path: Path, seed: int
) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        workload = Workload(seed=seed, events=16_000, lines_per_record=2, late=0.01)
        streams.send(workload.records(streams.home, streams.partitions))
        assert min(cluster.ends(kafka, prefix + "usage.events").values()) >= 1_000
        streams.start("a")
        time.sleep(random.Random(seed).uniform(0, 3))  # the join is to meet every phase of the first start
        streams.start("b")
        streams.drain("a", "b")
        streams.check_exact()


def test_a_frozen_worker_that_wakes_is_fenced_and_ends(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        records = list(Workload(seed=11, events=12_000).records(streams.home, streams.partitions))
        half = len(records) // 2
        streams.send(records[:half])
        # everything of a checkpoint but its commit is with the broker when the worker freezes
        streams.start("a", METERLINE_FAILPOINT="before_commit:6:STOP", METERLINE_CHECKPOINT_SECONDS="0.05")
        wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
        for start in range(0, half, 20):
            streams.send(records[half + start : half + start + 20])
        wait_until(lambda: b"T" in _state(streams, "a"), 40, "worker a frozen")
        streams.start("b")
        streams.drain("b")
        streams.signal("a", signal.SIGCONT)
        assert streams.exit_code("a", 60) == 70, streams.log("a").read_text()
        # what b restored must not have been overwritten by what a had in flight
        streams.kill("b")
        streams.send(Workload(seed=12, events=2_000).records(streams.home, streams.partitions))
        streams.start("b")
        streams.drain("b")
        streams.check_exact()


def test_workers_joining_and_leaving_under_load_change_nothing(
    kafka: str, prefix: str, tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(5)
    with Streams(kafka, prefix, tmp_path) as streams:
        records = list(Workload(seed=21, events=4_000 * rounds).records(streams.home, streams.partitions))
        piece = len(records) // rounds + 1
        streams.start("a")
        for number in range(rounds):
            streams.send(records[number * piece : (number + 1) * piece])
            name = rng.choice("bc")
            if name in streams.names() and streams.alive(name):
                if rng.random() < 0.5:
                    streams.kill(name)
                else:
                    streams.signal(name, signal.SIGTERM)
            else:
                streams.start(name)
            time.sleep(rng.uniform(0, 3))
        streams.drain("a")
        streams.check_exact()


def _state(streams: Streams, name: str) -> bytes:
    return Path(f"/proc/{streams.pid(name)}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
