"""The stream worker with a quota and a threshold on every tenant and metric, against the same without any."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from meterline_schemas.catalog import Entry, Quota, Threshold
from tests.benchmarks.cluster import Bench
from tests.benchmarks.measure import MB, per_million
from tests.benchmarks.parts.stream import Pass, once, recount
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.benchmarks.workload import NAMES, Workload, in_batches
from tests.support.alerts import this_month
from tests.support.recount import Recount

INCLUDED = Decimal(50_000)


def run(bench: Bench, sizes: Sizes) -> Result:
    tenants = sizes.limits // len(NAMES) + 1
    messages = list(in_batches(Workload(sizes.events, tenants=tenants), PARTITIONS))
    expected = recount(messages)
    limits = list(limits_of(tenants))
    without, with_limits = [], []
    for _ in range(sizes.passes):  # in turns: the machine is not as fast at all times
        without.append(once(bench, messages, expected))
        with_limits.append(once(bench, messages, expected, *limits))
    check = verify(with_limits, expected)
    bare, limited = median(without), median(with_limits)
    return Result(
        part="limits",
        events=sizes.events,
        figures=[
            Figure("quotas", "quotas, and as many thresholds, each of a tenant and metric of its own", len(limits) / 2),
            Figure("rate", "events per second with them", sizes.events / limited.seconds),
            Figure("bare_rate", "events per second without", sizes.events / bare.seconds),
            Figure("cpu", "CPU seconds of the worker per million events with them",
                   per_million(limited.cpu, sizes.events), "s"),
            Figure("bare_cpu", "CPU seconds without", per_million(bare.cpu, sizes.events), "s"),
            Figure("rss", "most memory of the worker with them", limited.rss / MB, "MB"),
            Figure("notifications", "notifications", limited.notifications),
        ],
        check=f"{limited.check}; {check}",
        notes=[f"the passes of median time of {sizes.passes} each, in turns, on the same events"],
    )  # fmt: skip


def limits_of(tenants: int) -> Iterator[Entry]:
    for number in range(tenants):
        for metric in NAMES:
            scope = {"tenant_id": f"tenant-{number}", "metric": metric}
            yield Quota.model_validate({**scope, "included": INCLUDED})
            yield Threshold.model_validate({**scope, "id": f"{metric}-{number}"})


def verify(passes: list[Pass], expected: Recount) -> str:
    """Two notifications for each step that the independent count reaches.

    Raises:
        CheckFailedError: there are more or fewer.
    """
    wanted = sum(
        2 * (total.sum * 100 >= INCLUDED * step)
        for total in this_month(expected.answers).values()
        for step in (80, 100)
    )
    found = [each.notifications for each in passes]
    if set(found) != {wanted}:
        raise CheckFailedError(f"{found} notifications in the passes, {wanted} by an independent count")
    return f"{wanted:,} notifications, as many as an independent count of the steps that were reached"


def median(passes: list[Pass]) -> Pass:
    return sorted(passes, key=lambda done: done.seconds)[len(passes) // 2]
