"""What an app feels of the SDK: how long ``track()`` takes, what the buffer takes of its memory, and the import."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from meterline_schemas import topics
from tests.benchmarks.cluster import Bench, settle
from tests.benchmarks.measure import MB, percentile
from tests.benchmarks.parts.sdk import SECONDS, TRACK, compare
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes

THREADS = 4
FILL = 120_000  # more than the buffer's 100,000
NOWHERE = "127.0.0.1:1"


def run(bench: Bench, sizes: Sizes) -> Result:
    events = sizes.half
    figures: list[Figure] = []
    for key, how, threads, spool in (
        ("track", "track()", 1, False),
        ("spool", "track() with a spool", 1, True),
        ("threads", f"track() in {THREADS} threads", THREADS, False),
        ("threads_spool", f"track() in {THREADS} threads with a spool", THREADS, True),
    ):
        took = calls(bench, events, threads, spool=spool)
        figures.append(Figure(f"{key}_median", f"{how}, median", percentile(took, 50), "µs"))
        figures.append(Figure(f"{key}_p99", f"{how}, 99th percentile", percentile(took, 99), "µs"))
    full = fill(bench)
    return Result(
        part="calls",
        events=events,
        figures=[
            *figures,
            Figure("memory", f"memory of the app for {full['pending']:,} events that wait, Kafka away",
                   full["rss"] / MB, "MB"),
            Figure("import", "import meterline, median of 9", import_seconds(bench) * 1000, "ms"),
        ],
        check="after each pass the topic holds what was tracked: count and sum by tenant and metric, each id once",
        notes=["calls in a tight loop, the SDK's thread sending beside it on the same cores"],
    )  # fmt: skip


def calls(bench: Bench, events: int, threads: int, *, spool: bool) -> list[float]:
    """Microseconds of each call."""
    installation = bench.installation("calls")
    settle()
    out = bench.folder / f"{installation.prefix}json"
    environment = installation.environment()
    if spool:
        environment["METERLINE_SPOOL"] = str(bench.folder / f"{installation.prefix}spool")
    bench.python("calls", TRACK, "latency", str(events), str(threads), str(out), **environment).finish(SECONDS)
    found = json.loads(out.read_bytes())
    compare(bench.bootstrap, installation.topic(topics.EVENTS), found)
    bench.remove(installation)
    return [took / 1000 for took in found["nanoseconds"]]


def fill(bench: Bench) -> dict[str, Any]:
    out = bench.folder / "fill.json"
    bench.python("fill", TRACK, "fill", str(FILL), "0", str(out), METERLINE_KAFKA=NOWHERE).finish(SECONDS)
    found: dict[str, Any] = json.loads(out.read_bytes())
    if found["pending"] + found["dropped"] != FILL + 1:
        raise CheckFailedError(f"of {FILL + 1} events {found['pending']} wait and {found['dropped']} were dropped")
    return found


def import_seconds(bench: Bench) -> float:
    """Of a fresh interpreter with ``import meterline``, less one without; compiled, as after an installation."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bench.folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def seconds(program: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, env=environment)
        return time.perf_counter() - began

    seconds("import meterline")
    return statistics.median(seconds("import meterline") - seconds("pass") for _ in range(9))
