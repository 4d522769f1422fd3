"""Kafka Streams doing the same with dedupe and ``exactly_once_v2``, one thread: a Maven project that is not ours.

Its JSON lines give what it measured itself, from its first event to its last, passes after the first being warm.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks import kafka
from tests.benchmarks.cluster import ROOT, Bench, EndedError, settle
from tests.benchmarks.measure import per_million
from tests.benchmarks.parts import stream
from tests.benchmarks.results import CheckFailedError, Figure, Result, SkippedError
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.benchmarks.workload import Workload, in_batches, one_by_one, totals, without_repeats

COMMIT_MS = 500  # as often as our checkpoints; its own default is 100 ms and costs it more
SECONDS = 1200


def run(bench: Bench, sizes: Sizes) -> Result:
    if sizes.kstreams is None:
        raise SkippedError("no Kafka Streams project was named: --kstreams DIR")
    folder = build(bench, sizes.kstreams)
    workload = Workload(sizes.events)
    expected = totals(without_repeats(made.line for made in workload))
    messages = list(in_batches(workload, PARTITIONS))
    counted = stream.recount(messages)
    # ours before, between and after, so that all see the machine as it is
    ours = [stream.once(bench, messages, counted)]
    singles = passes(bench, folder, "u1", workload, sizes)
    ours.append(stream.once(bench, messages, counted))
    batches = passes(bench, folder, "u100", workload, sizes)
    ours.append(stream.once(bench, messages, counted))
    for each in (*singles, *batches):
        compare(each, sizes.events, len(expected), expected)
    return Result(
        part="kstreams",
        events=sizes.events,
        figures=[
            *figures("single", "an event a record", warm(singles)),
            *figures("batch", "100 events a record", warm(batches)),
            Figure("ours_rate", "our stream worker in turns with it, events per second, 100 events a record",
                   sizes.events / statistics.median(each.seconds for each in ours)),
            Figure("ours_cpu", "its CPU seconds per million events",
                   per_million(statistics.median(each.cpu for each in ours), sizes.events), "s"),
        ],
        check=(
            f"in every pass the count, the sum and the number of its {len(expected):,} totals equal an independent "
            "count, repeats left out; of ours, every total"
        ),
        notes=[
            f"dedupe in RocksDB, exactly_once_v2, 1 thread, commit.interval.ms={COMMIT_MS}; "
            f"median of {len(warm(singles))} warm passes of {sizes.passes}; of ours the median of 3"
        ],
    )  # fmt: skip


def build(bench: Bench, source: Path) -> Path:
    """The project, built in the run's own folder.

    Raises:
        SkippedError: it, Java or Maven is missing, or does not build.
    """
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        raise SkippedError(f"{' and '.join(missing)} not on the path: install Java 17 and Maven")
    if not (source / "pom.xml").exists():
        raise SkippedError(f"no Maven project in {Path(os.path.relpath(source, ROOT))}: name it with --kstreams DIR")
    folder = bench.folder / "kstreams"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("target"))
    try:
        bench.command("maven", ["mvn", "-q", "-B", "-f", str(folder), "package"]).finish(SECONDS)
    except EndedError as error:
        raise SkippedError(f"it does not build: {error}") from None
    return folder


def passes(bench: Bench, folder: Path, kind: str, workload: Workload, sizes: Sizes) -> list[dict[str, Any]]:
    """What each pass says. ``kind`` begins the topic's name, which decides how it reads the records."""
    topic = bench.prefix(kind) + "events"
    kafka.create(bench.bootstrap, topic, PARTITIONS)
    pack = in_batches if kind == "u100" else one_by_one
    kafka.fill(bench.bootstrap, topic, pack(workload, PARTITIONS))
    settle()
    running = bench.command(
        f"kstreams-{kind}",
        ["bash", str(folder / "run.sh"), topic, "dedup", "1", "exactly_once_v2", str(sizes.events), str(sizes.passes)],
        J=f"-Dbroker={bench.bootstrap} -Ds.commit.interval.ms={COMMIT_MS} -Djava.io.tmpdir={bench.folder}",
        BROKERPID=str(bench.broker_pid),
    )
    running.finish(SECONDS)
    kafka.drop(bench.bootstrap, topic)
    return [json.loads(line) for line in running.logged(r'^\{"topic"')]


def warm(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return found[1:] or found


def figures(key: str, how: str, found: list[dict[str, Any]]) -> list[Figure]:
    def median(field: str) -> float:
        return float(statistics.median(each[field] for each in found))

    return [
        Figure(f"{key}_rate", f"events per second, {how}", median("ev_s")),
        Figure(f"{key}_cpu", f"CPU seconds per million events, {how}", median("cpu_M"), "s"),
        Figure(
            f"{key}_broker_cpu", f"CPU seconds of the broker per million events, {how}", median("broker_cpu_M"), "s"
        ),
    ]


def compare(found: dict[str, Any], events: int, keys: int, expected: dict[str, tuple[int, Decimal]]) -> None:
    wanted = (sum(count for count, _sum in expected.values()), sum(total for _count, total in expected.values()), keys)
    said = (found["counted"], Decimal(found["sum"]), found["keys"])
    if said != wanted or found["dups"] != events - wanted[0]:
        raise CheckFailedError(f"pass {found['pass']} on {found['topic']} counted {said}, not {wanted}")
