"""Our stream worker on a topic that is full already: dedupe, checkpoints and all verdicts written, as by default."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass

from meterline_schemas import topics
from meterline_schemas.catalog import Entry
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, Installation, Running, settle
from tests.benchmarks.measure import MB, Sampler, per_million
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.benchmarks.workload import Message, Workload, in_batches
from tests.support import cluster
from tests.support.recount import Recount, answers_of_topics, assert_equal_counts, lines
from tests.support.workload import METRICS

SECONDS = 900


@dataclass(frozen=True)
class Pass:
    """One worker on one full topic. Seconds of CPU are the process's own; ``rss`` in bytes."""

    seconds: float
    steady_rate: float
    cpu: float
    broker_cpu: float
    rss: int
    startup: float
    checkpoints: int
    notifications: int
    check: str


def run(bench: Bench, sizes: Sizes) -> Result:
    messages = list(in_batches(Workload(sizes.events), PARTITIONS))
    expected = recount(messages)
    passes = [once(bench, messages, expected) for _ in range(sizes.passes)]
    passes.sort(key=lambda done: done.cpu)
    median = passes[len(passes) // 2]
    return Result(
        part="stream",
        events=sizes.events,
        figures=[
            Figure("rate", "events per second, from the first partition opened to the last commit",
                   sizes.events / median.seconds),
            Figure("steady_rate", "the same, from the first commit to the last", median.steady_rate),
            Figure("cpu", "CPU seconds of the worker per million events", per_million(median.cpu, sizes.events), "s"),
            Figure("cpu_least", "the least of all passes", per_million(passes[0].cpu, sizes.events), "s"),
            Figure("cpu_most", "the most", per_million(passes[-1].cpu, sizes.events), "s"),
            Figure("broker_cpu", "CPU seconds of the broker per million events",
                   per_million(median.broker_cpu, sizes.events), "s"),
            Figure("rss", "most memory of the worker", median.rss / MB, "MB"),
            Figure("startup", "from process start to the first partition opened", median.startup, "s"),
            Figure("checkpoints", "checkpoints", median.checkpoints),
        ],
        check=median.check,
        notes=[f"the pass of median CPU time of {len(passes)}, each on a new topic, each checked"],
    )  # fmt: skip


def once(bench: Bench, messages: list[Message], expected: Recount, *entries: Entry) -> Pass:
    """One pass on a new installation, with these entries in its catalog beside the metrics."""
    installation = bench.installation("stream")
    bench.configure(installation, *entries)
    kafka.fill(bench.bootstrap, installation.topic(topics.EVENTS), messages)
    settle()
    worker, marks, sampler = judge_all(bench, installation)
    # before it has opened a partition it can judge nothing
    began, ended = min(worker.times_logged(" open at offset ")), marks[-1].at
    steady, at_first = ended - marks[0].at, marks[0].lines
    events = marks[-1].lines
    used = sampler.cpu("worker", began, ended)
    worker.stop()
    check = verify(installation, expected)
    notifications = sum(1 for _ in cluster.read_all(bench.bootstrap, installation.topic(topics.NOTIFICATIONS)))
    bench.remove(installation)
    return Pass(
        seconds=ended - began,
        steady_rate=(events - at_first) / steady if steady > 0 else 0.0,
        cpu=used,
        broker_cpu=sampler.cpu("broker", began, ended),
        rss=sampler.peak_rss("worker"),
        startup=began - worker.started,
        checkpoints=len(marks),
        notifications=notifications,
        check=check,
    )


def judge_all(bench: Bench, installation: Installation) -> tuple[Running, list[kafka.Mark], Sampler]:
    """Start a worker and return once it has judged all that is in ``usage.events``; it runs on."""
    ends = {n: end for n, end in cluster.ends(bench.bootstrap, installation.topic(topics.EVENTS)).items() if end}
    tail = kafka.ProgressTail(bench.bootstrap, installation.prefix, installation.partitions)
    worker = bench.worker(installation)
    with Sampler(worker=worker.pid, broker=bench.broker_pid) as sampler:
        marks = tail.wait(ends, SECONDS, worker.check)
    tail.close()
    return worker, marks, sampler


def recount(messages: Iterable[Message]) -> Recount:
    """An independent count of what is sent."""
    expected = Recount()
    for message in messages:
        for line in lines(message.value):
            expected.add(line, METRICS)
    gc.collect()
    return expected


def verify(installation: Installation, expected: Recount) -> str:
    """Every tenant, metric and hour against the independent count.

    Raises:
        CheckFailedError: they differ.
    """
    try:
        assert_equal_counts(answers_of_topics(installation.bootstrap, installation.prefix), expected.answers)
    except AssertionError as error:
        raise CheckFailedError(str(error)) from None
    keys, counted, repeats = len(expected.answers), len(expected.ids), expected.repeats
    return (
        f"{keys:,} totals (tenant, metric, hour) of {counted:,} events equal an independent count in count, sum, min, "
        f"max and last; {repeats:,} repeated ids did not count"
    )
