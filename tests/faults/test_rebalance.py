"""Workers that join, leave, freeze and wake: nothing lost at a first start, nothing doubled by a zombie."""

from __future__ import annotations

import itertools
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support import cluster
from tests.support.streams import Streams, wait_until
from tests.support.workload import Workload

pytestmark = pytest.mark.faults

REPETITIONS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 10))]


@pytest.mark.parametrize("seed", REPETITIONS)
def test_a_backlog_survives_a_first_start_that_a_second_worker_joins(
    kafka: str, prefix: str, tmp_path: Path, seed: int
) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        workload = Workload(seed=seed, events=24_000, lines_per_record=1)
        streams.send(workload.records(streams.home, streams.partitions))
        assert min(cluster.ends(kafka, prefix + "usage.events").values()) >= 2_000
        streams.start("a")
        time.sleep(random.Random(seed).uniform(0, 3))  # the join is to meet every phase of the first start
        streams.start("b")
        streams.drain("a", "b")
        wait_until(lambda: streams.assigned("b"), 30, "the second worker has partitions")
        streams.check_exact()


def _freeze_and_take_over(streams: Streams, place: str, module: str = "meterline_streams") -> None:
    """Worker a freezes in its sixth checkpoint, b takes over and drains, a wakes."""
    records = list(Workload(seed=11, events=12_000).records(streams.home, streams.partitions))
    half = len(records) // 2
    streams.send(records[:half])
    streams.start("a", module, METERLINE_FAILPOINT=f"{place}:6:STOP", METERLINE_CHECKPOINT_SECONDS="0.05")
    wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
    rest = iter(records[half:])

    def frozen() -> bool:
        streams.send(list(itertools.islice(rest, 20)))  # so that there is another checkpoint to freeze in
        return b"T" in _state(streams, "a")

    wait_until(frozen, 40, "worker a frozen")
    streams.send(list(rest))
    streams.start("b", module)
    streams.drain("b")
    streams.signal("a", signal.SIGCONT)


@pytest.mark.parametrize("place", [pytest.param("before_begin", marks=pytest.mark.long), "before_commit"])
def test_a_frozen_worker_that_wakes_is_fenced_and_ends(kafka: str, prefix: str, tmp_path: Path, place: str) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        _freeze_and_take_over(streams, place)
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


def test_control_a_plain_producer_lets_the_zombie_double_events(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        _freeze_and_take_over(streams, "before_begin", "tests.faults.controls.plain_producer")
        doubled = wait_for_failure(streams)
        assert "several verdicts" in doubled or "different keys" in doubled


def test_skipped_records_are_read_again(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        streams.send(Workload(seed=41, events=6_000, lines_per_record=2).records(streams.home, streams.partitions))
        streams.start("a", "tests.faults.controls.skipping")
        streams.drain()
        assert "were not delivered, going back" in streams.log("a").read_text()
        streams.check_exact()


def test_control_without_the_continuity_check_skipped_records_are_lost(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        streams.send(Workload(seed=41, events=6_000, lines_per_record=2).records(streams.home, streams.partitions))
        streams.start("a", "tests.faults.controls.skipping", METERLINE_CONTROL_GUARD="off")
        streams.drain()
        with pytest.raises(AssertionError, match="without a verdict"):
            streams.check_exact()


def wait_for_failure(streams: Streams) -> str:
    """What ``check_exact`` says once it fails; it has half a minute to."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            streams.check_exact()
        except AssertionError as error:
            return str(error)
        time.sleep(0.5)
    raise AssertionError("the control stayed exact: the fault was not met")


def _state(streams: Streams, name: str) -> bytes:
    return Path(f"/proc/{streams.pid(name)}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
