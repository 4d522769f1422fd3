"""kill -9 at every step of a checkpoint, twice in a row: every total equal to an independent count, each alert once."""

from __future__ import annotations

from pathlib import Path

import pytest

from meterline_streams.failpoints import PLACES
from tests.support.alerts import check_alerts, limits
from tests.support.streams import Streams, wait_until
from tests.support.workload import Workload

pytestmark = pytest.mark.faults

SHORT = ("before_begin", "before_commit", "after_commit")
STEPS = [place if place in SHORT else pytest.param(place, marks=pytest.mark.long) for place in PLACES]


@pytest.mark.parametrize("place", STEPS)
def test_two_kills_in_a_row_at_any_step_change_nothing(kafka: str, prefix: str, tmp_path: Path, place: str) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=2) as streams:
        streams.configure(*limits())
        workload = Workload(seed=PLACES.index(place), events=4_000)
        records = list(workload.records(streams.home, streams.partitions))
        pieces = [records[start::8] for start in range(8)]
        streams.send(pieces.pop())
        for nth in (2, 1):
            streams.start("a", METERLINE_FAILPOINT=f"{place}:{nth}", METERLINE_CHECKPOINT_SECONDS="0.05")
            wait_until(lambda: streams.assigned("a") or not streams.alive("a"), 40, "a partition opened")
            for _ in range(3):  # several checkpoints, so that the n-th comes
                streams.send(pieces.pop())
            assert streams.exit_code("a", 40) == -9, streams.log("a").read_text()
        streams.send(pieces.pop())
        streams.start("a")
        streams.drain("a")
        streams.check_exact()
        check_alerts(streams)
