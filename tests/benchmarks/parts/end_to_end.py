"""From ``track()`` to rows that can be queried: app, Kafka, stream worker, sink and ClickHouse, all on this machine."""

from __future__ import annotations

import json
import time

from tests.benchmarks.cluster import Bench, EndedError, wait
from tests.benchmarks.measure import Sampler, per_million
from tests.benchmarks.parts import pipeline as pipelines
from tests.benchmarks.parts.sdk import TRACK
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes

SECONDS = 600
REPEATS = 0.05


def run(bench: Bench, sizes: Sizes) -> Result:
    events = sizes.half
    pipeline = pipelines.start(bench, "e2e")
    before = pipeline.judged() + 1  # the app warms up with one event
    out = bench.folder / "e2e.json"
    app = bench.python(
        "app", TRACK, "burst", str(events), str(REPEATS), str(out), **pipeline.installation.environment()
    )
    pids = {
        "app": app.pid,
        "worker": pipeline.worker.pid,
        "sink": pipeline.sink.pid,
        "broker": bench.broker_pid,
        "clickhouse": bench.clickhouse_pid,
    }

    def check() -> None:
        pipeline.check()
        if app.process.poll():
            raise EndedError(f"the app ended with exit code {app.process.returncode}: {app.tail()}")

    with Sampler(**pids) as sampler:
        wait(lambda: pipeline.judged() >= before + events, SECONDS, "all events in ClickHouse", check, every=0.1)
        counted = pipeline.counted()
        ended = time.time()
    app.finish(SECONDS)
    found = json.loads(out.read_bytes())
    began = found["began"]
    if counted != sum(count for count, _sum in found["expected"].values()):
        raise CheckFailedError(f"usage_hourly answered {counted} events when all should have been in")
    verdict = pipeline.verify(found)
    pipeline.stop()
    bench.remove(pipeline.installation)
    used = {name: per_million(sampler.cpu(name, began, ended), events) for name in pids}
    return Result(
        part="e2e",
        events=events,
        figures=[
            Figure("rate", "events per second, from the first track() to the answer that has them all",
                   events / (ended - began)),
            Figure("tracked_rate", "events per second that the app could track meanwhile",
                   events / (found["tracked"] - began)),
            *(Figure(f"{name}_cpu", f"CPU seconds of the {name} per million events", each, "s")
              for name, each in used.items()),
            Figure("cpu", "CPU seconds of all of them per million events", sum(used.values()), "s"),
        ],
        check=verdict,
        notes=[f"{REPEATS:.0%} of the events are tracked a second time with the id of an earlier one and do not count"],
    )  # fmt: skip
