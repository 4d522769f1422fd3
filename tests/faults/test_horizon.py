"""A horizon of seconds: hours close at once, repeats and late copies come on both sides of it, kills in between."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import cluster
from tests.support.recount import answers_of_topics, check_one_verdict_each
from tests.support.streams import Streams, wait_until

pytestmark = pytest.mark.faults

HORIZON = 6.0
SHORT = {"METERLINE_HORIZON": "PT6S", "METERLINE_ACCEPT_FUTURE": "PT1S", "METERLINE_CHECKPOINT_SECONDS": "0.2"}


def _event(id: str, moment: datetime, quantity: int = 1) -> bytes:
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(
        {"id": id, "tenant_id": "acme", "metric": "orders", "quantity": quantity, "timestamp": text}
    ).encode()


def _send(streams: Streams, *lines: bytes) -> None:
    cluster.produce(streams.bootstrap, streams.prefix + "usage.events", [(0, b"\n".join(lines))])


def _count(streams: Streams) -> int:
    return sum(cell.count for cell in answers_of_topics(streams.bootstrap, streams.prefix).values())


@pytest.mark.parametrize(
    "place",
    ["after_ids", *(pytest.param(place, marks=pytest.mark.long) for place in ("", "before_commit", "after_commit"))],
)
def test_repeats_inside_and_beyond_the_horizon(kafka: str, prefix: str, tmp_path: Path, place: str) -> None:
    """Same timestamp: counts once at any distance. Another timestamp: once within the horizon, again beyond it."""
    with Streams(kafka, prefix, tmp_path, partitions=1, **SHORT) as streams:
        streams.start("a")
        wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
        began = time.monotonic()
        first = datetime.now(UTC)
        _send(streams, _event("same", first), _event("other", first))
        streams.drain("a")

        def wait_for(horizons: float) -> None:
            """Until that many horizons have passed: what the test is about, not luck. On a slow machine, more."""
            time.sleep(max(0.0, began + horizons * HORIZON - time.monotonic()))
            age = time.time() - _counted(streams)[1]
            if HORIZON - 2 < age < HORIZON + 3:  # nobody could tell what is right at the edge
                time.sleep(HORIZON + 3 - age)

        if place:
            streams.kill("a")
            streams.start("a", METERLINE_FAILPOINT=f"{place}:1")
        wait_for(0.5)
        _send(streams, _event("same", first), _event("other", first + timedelta(seconds=1)))
        if place:
            assert streams.exit_code("a", 40) == -9
            streams.start("a")
        streams.drain("a")
        assert _count(streams) == 1 + _counted(streams)[0]
        for horizons in (1.5, 3.0):
            wait_for(horizons)
            _send(streams, _event("same", first), _event("other", datetime.now(UTC)))
            streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _count(streams) == 1 + _counted(streams)[0]


def _counted(streams: Streams) -> tuple[int, float]:
    """How many of the records' copies of one id count, by when the broker appended them, and when the last one did."""
    counted, last = 0, float("-inf")
    for record in cluster.read_all(streams.bootstrap, streams.prefix + "usage.events"):
        appended = record.timestamp()[1] / 1000
        distance = appended - last
        assert not HORIZON < distance <= HORIZON + 2, "sent too close to the horizon's edge to tell"
        if distance > HORIZON:
            counted, last = counted + 1, appended
    return counted, last


def test_closed_hours_leave_memory_and_late_events_still_count(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1, **SHORT) as streams:
        streams.start("a")
        now = datetime.now(UTC)
        late = [_event(f"late-{n}", now - timedelta(hours=n), n) for n in range(1, 50)]
        _send(streams, _event("now", now), *late)
        streams.drain("a")
        time.sleep(HORIZON + 1)  # ids leave the index
        _send(streams, *late[:10], _event("now-2", datetime.now(UTC)))
        streams.drain("a")
        assert _count(streams) == 51
        check_one_verdict_each(kafka, prefix)
        chunks, tombstones = _ids_of_state(streams)
        assert chunks > tombstones > 0


def test_a_longer_horizon_takes_effect_only_as_ids_gather(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Ids that a short horizon dropped are gone: copies of their events must go the late way, not count twice."""
    with Streams(kafka, prefix, tmp_path, partitions=1, METERLINE_CHECKPOINT_SECONDS="0.2") as streams:
        streams.start("a", **SHORT)
        first = datetime.now(UTC)
        _send(streams, _event("e", first))
        streams.drain()
        time.sleep(HORIZON + 2)
        _send(streams, _event("f", datetime.now(UTC)))
        streams.drain()
        streams.kill("a")
        streams.start("a", METERLINE_HORIZON="PT6H")
        _send(streams, _event("e", first))
        streams.drain()
        assert _count(streams) == 2


def _ids_of_state(streams: Streams) -> tuple[int, int]:
    records: list[Any] = list(cluster.read_all(streams.bootstrap, streams.prefix + "meterline.state"))
    ids = [record for record in records if record.key().startswith(b"ids/")]
    return sum(r.value() is not None for r in ids), sum(r.value() is None for r in ids)
