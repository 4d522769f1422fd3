"""How long after it happened an event can be queried, at a steady rate.

Events of a partition keep their order, so the n-th that was tracked can be queried as soon as ``usage_freshness`` says
that n are in: that gives the delay of every single event, up to the time between two looks. The view is looked at
because it costs next to nothing; now and then the totals themselves are counted, and must hold at least as much.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from meterline_schemas.partitioning import partition_of
from tests.benchmarks.cluster import Bench
from tests.benchmarks.measure import percentile
from tests.benchmarks.parts import pipeline as pipelines
from tests.benchmarks.parts.sdk import TRACK
from tests.benchmarks.processes.events import Call, calls
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes

EVERY = 0.1
PROVE_EVERY = 20  # looks
GRACE_SECONDS = 60

Look = tuple[float, dict[int, int]]  # when an answer was there, and the events that it counted by partition


def run(bench: Bench, sizes: Sizes) -> Result:
    rate = sizes.freshness_rate
    events = int(rate * sizes.freshness_seconds)
    pipeline = pipelines.start(bench, "fresh")
    partitions = pipeline.installation.partitions
    base = pipeline.accepted_by_partition()
    base[partition_of("warm-up", partitions)] += 1  # the app's first event
    out = bench.folder / "freshness.json"
    app = bench.python("app", TRACK, "paced", str(events), str(rate), str(out), **pipeline.installation.environment())
    looks: list[Look] = []
    deadline = time.monotonic() + sizes.freshness_seconds + GRACE_SECONDS
    while not looks or sum(looks[-1][1].values()) < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"of {events} events only {sum(looks[-1][1].values())} can be queried")
        pipeline.check()
        began = time.monotonic()
        counts = {each: max(0, count - base[each]) for each, count in pipeline.accepted_by_partition().items()}
        looks.append((time.time(), counts))
        if len(looks) % PROVE_EVERY == 0:
            prove(counts, pipeline.counted_by_partition())
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
    app.finish(GRACE_SECONDS)
    found = json.loads(out.read_bytes())
    verdict = pipeline.verify(found)
    pipeline.stop()
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
        notes=["every event is measured; a delay includes the wait for the next look, about a tenth of a second"],
    )  # fmt: skip


def prove(said: Mapping[int, int], totals: Mapping[int, int]) -> None:
    """Raises CheckFailedError where fewer events are in the totals than was said just before."""
    short = {partition: count for partition, count in said.items() if totals.get(partition, 0) < count}
    if short:
        raise CheckFailedError(f"usage_freshness said {dict(said)} events when the totals counted {dict(totals)}")


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
