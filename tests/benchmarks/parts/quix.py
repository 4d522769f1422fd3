"""Quix Streams 3 doing the same hourly sums, without dedupe, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from tests.benchmarks import kafka
from tests.benchmarks.cluster import ROOT, Bench, settle
from tests.benchmarks.measure import per_million
from tests.benchmarks.parts.peers import compare, in_totals
from tests.benchmarks.results import Figure, Result, SkippedError
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.benchmarks.workload import Workload, one_by_one

SECONDS = 900
REQUIREMENT = "quixstreams>=3.20,<4"  # it pins an older confluent-kafka than ours


def run(bench: Bench, sizes: Sizes) -> Result:
    python = [uv(), "run", "--isolated", "--no-project", "--python", sys.executable, "--with", REQUIREMENT, "python"]
    prepared = bench.command("quix-environment", [*python, "-c", "import quixstreams"])
    prepared.finish(SECONDS)
    prefix = bench.prefix("quix")
    topic, out = prefix + "events", bench.folder / "quix.json"
    workload = Workload(sizes.half)
    kafka.create(bench.bootstrap, topic, PARTITIONS)
    kafka.fill(bench.bootstrap, topic, one_by_one(workload, PARTITIONS))
    settle()
    script = ROOT / "tests" / "benchmarks" / "processes" / "quix.py"
    worker = bench.command("quix", [*python, str(script), bench.bootstrap, topic, str(sizes.half), str(out)])
    worker.finish(SECONDS)
    found = json.loads(out.read_bytes())
    kafka.drop(bench.bootstrap, prefix)
    return Result(
        part="quix",
        events=sizes.half,
        figures=[
            Figure("rate", "events per second, from the first event to the last",
                   sizes.half / (found["ended"] - found["began"])),
            Figure("cpu", "CPU seconds per million events", per_million(found["cpu"], sizes.half), "s"),
        ],
        check=compare(in_totals(found["totals"]), workload),
        notes=[f"quixstreams {found['version']}; no dedupe, at_least_once; records keyed by tenant and metric"],
    )  # fmt: skip


def uv() -> str:
    """The uv that runs this, or one on the path.

    Raises:
        SkippedError: there is none.
    """
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None or not Path(found).exists():
        raise SkippedError("uv is not on the path: its environment cannot be made; install uv or run through `uv run`")
    return found
