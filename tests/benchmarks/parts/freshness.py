"""How long after it happened an event can be queried, at a steady rate.

Events of a partition keep their order, so the n-th that was tracked is visible as soon as the partition's totals in
ClickHouse count n: that gives the delay of every single event, up to the time between two queries.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from meterline_schemas.partitioning import partition_of
from tests.benchmarks.cluster import Bench
from tests.benchmarks.measure import percentile
from tests.benchmarks.parts import pipeline as pipelines
from tests.benchmarks.parts.sdk import TRACK
from tests.benchmarks.processes.events import Call, calls
from tests.benchmarks.results import Figure, Result
from tests.benchmarks.sizes import Sizes

EVERY = 0.05
GRACE_SECONDS = 60

Look = tuple[float, dict[int, int]]  # when an answer was there, and the events that it counted by partition


def run(bench: Bench, sizes: Sizes) -> Result:
    rate = sizes.freshness_rate
    events = int(rate * sizes.freshness_seconds)
    pipeline = pipelines.start(bench, "fresh")
    out = bench.folder / "freshness.json"
    app = bench.python("app", TRACK, "paced", str(events), str(rate), str(out), **pipeline.installation.environment())
    looks: list[Look] = []
    deadline = time.monotonic() + sizes.freshness_seconds + GRACE_SECONDS
    while not looks or sum(looks[-1][1].values()) < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"of {events} events only {sum(looks[-1][1].values())} can be queried")
        pipeline.check()
        began = time.monotonic()
        counts = pipeline.counted_by_partition()
        looks.append((time.time(), counts))
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
    app.finish(GRACE_SECONDS)
    found = json.loads(out.read_bytes())
    verdict = pipeline.verify(found)
    pipeline.stop()
    partitions = pipeline.installation.partitions
    bench.remove(pipeline.installation)
    waits = delays(calls(events, 0), found["ticks"], looks, partitions)
    return Result(
        part="freshness",
        events=events,
        figures=[
            Figure("rate", "events per second that the app sent", events / (found["ended"] - found["began"])),
            Figure("p50", "event to queryable, median", percentile(waits, 50), "s"),
            Figure("p99", "event to queryable, 99th percentile", percentile(waits, 99), "s"),
            Figure("max", "event to queryable, longest", max(waits), "s"),
            Figure("looks", "queries a second that looked for them",
                   len(looks) / (looks[-1][0] - looks[0][0]) if len(looks) > 1 else 0.0),
        ],
        check=verdict,
        notes=["every event is measured; a delay includes the wait for the next look"],
    )  # fmt: skip


def delays(
    made: Sequence[Call], ticks: Sequence[tuple[float, int]], looks: Sequence[Look], partitions: int
) -> list[float]:
    """Seconds from ``track()`` to the first look that counted it, for each event."""
    tracked: list[list[float]] = [[] for _ in range(partitions)]
    first = 0
    for at, behind in ticks:
        for call in made[first:behind]:
            tracked[partition_of(call.tenant, partitions)].append(at)
        first = behind
    waits: list[float] = []
    for partition, times in enumerate(tracked):
        seen = 0
        for at, counts in looks:
            count = counts.get(partition, 0)
            waits.extend(at - moment for moment in times[seen:count])
            seen = max(seen, count)
    return waits
