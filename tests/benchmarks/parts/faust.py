"""Vanilla Faust doing the same hourly sums, without dedupe."""

from __future__ import annotations

import json

from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, settle
from tests.benchmarks.measure import per_million
from tests.benchmarks.parts.peers import compare, in_totals
from tests.benchmarks.results import Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.benchmarks.workload import Workload, one_by_one

SECONDS = 600


def run(bench: Bench, sizes: Sizes) -> Result:
    prefix = bench.prefix("faust")
    topic, out = prefix + "events", bench.folder / "faust.json"
    workload = Workload(sizes.faust)
    kafka.create(bench.bootstrap, topic, PARTITIONS)
    kafka.fill(bench.bootstrap, topic, one_by_one(workload, PARTITIONS))
    settle()
    worker = bench.python(
        "faust",
        "tests.benchmarks.processes.vanilla_faust",
        *(bench.bootstrap, topic, str(PARTITIONS), str(sizes.faust), str(out)),
    )
    worker.finish(SECONDS)
    found = json.loads(out.read_bytes())
    kafka.drop(bench.bootstrap, prefix)
    return Result(
        part="faust",
        events=sizes.faust,
        figures=[
            Figure("rate", "events per second, from the first event to the last",
                   sizes.faust / (found["ended"] - found["began"])),
            Figure("cpu", "CPU seconds per million events", per_million(found["cpu"], sizes.faust), "s"),
        ],
        check=compare(in_totals(found["totals"]), workload),
        notes=["no dedupe, no transactions; its changelog is written as it comes and was not waited for"],
    )  # fmt: skip
