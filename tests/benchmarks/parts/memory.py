"""Memory of a stream worker by what it remembers, and how long it takes after kill -9 until it judges again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from meterline_schemas import topics
from meterline_schemas.partitioning import partition_of
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, Installation, settle
from tests.benchmarks.measure import MB, rss_of
from tests.benchmarks.parts.stream import judge_all
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.workload import LINES_PER_RECORD, NAMES, Message
from tests.support.cluster import read_all

PARTITIONS = 8
AT_REST = 3.0  # seconds after the last checkpoint
RATES = (100, 1_000, 5_000, 10_000)  # events a second
HORIZONS = (1, 6, 24)  # hours
TABLE_PAIRS = 10_000


@dataclass(frozen=True)
class Point:
    """A worker that remembers ``ids`` and ``cells`` (pairs of tenant and metric, times hours). Sizes in bytes."""

    ids: int
    cells: int
    loaded: int
    restored: int
    peak: int
    opened: float  # seconds from the start of the process to all partitions open
    restart: float  # seconds from the start of the process to the commit of a new event on every partition

    @property
    def rss(self) -> int:
        return max(self.loaded, self.restored)


def run(bench: Bench, sizes: Sizes) -> Result:
    ids, pairs = sizes.live_ids, sizes.pairs
    points = [
        measure(bench, max(ids // 500, pairs // 100), max(pairs // 100, PARTITIONS)),
        measure(bench, ids // 5, pairs),
        measure(bench, ids, max(pairs // 10, PARTITIONS)),
        measure(bench, ids, pairs),
    ]
    small, full = points[0], points[-1]
    return Result(
        part="memory",
        events=ids,
        figures=[
            Figure("rss", f"memory at {full.cells:,} active pairs and {full.ids:,} live ids, at rest",
                   full.rss / MB, "MB"),
            Figure("peak", "the most while it worked off the backlog that made them", full.peak / MB, "MB"),
            Figure("restart", "from its start after kill -9 to the commit of a new event on every partition",
                   full.restart, "s"),
            Figure("small_restart", f"the same at {small.cells:,} pairs and {small.ids:,} ids", small.restart, "s"),
        ],
        check=(
            "at every point all ids were accepted, the totals' counts add up to them, and after the restart on every "
            "partition a new event counted and an old id did not"
        ),
        notes=[f"{PARTITIONS} partitions on one worker; the state topic as it was written, before any compaction"],
        tables=[of_points(points), by_rate_and_horizon(points)],
    )  # fmt: skip


def measure(bench: Bench, ids: int, pairs: int) -> Point:
    installation = bench.installation("memory", PARTITIONS)
    events = installation.topic(topics.EVENTS)
    kafka.fill(bench.bootstrap, events, load(ids, pairs))
    settle()
    worker, _marks, sampler = judge_all(bench, installation)
    settle(AT_REST)
    loaded = rss_of(worker.pid)
    verify(installation, ids, pairs)
    before = latest(_marks)
    worker.kill()
    kafka.fill(bench.bootstrap, events, probes(ids, pairs))
    worker, marks, _sampler = judge_all(bench, installation)
    after = latest(marks)
    for partition, mark in after.items():
        old = before[partition]
        if (mark.accepted - old.accepted, mark.rejected - old.rejected) != (1, 1):
            raise CheckFailedError(f"after the restart partition {partition} went from {old} to {mark}")
    opened = max(worker.times_logged(" open at offset ")) - worker.started
    settle(AT_REST)
    restored = rss_of(worker.pid)
    worker.stop()
    bench.remove(installation)
    restart = max(mark.at for mark in after.values()) - worker.started
    return Point(ids, pairs, loaded, restored, sampler.peak_rss("worker"), opened, restart)


def load(ids: int, pairs: int) -> Iterator[Message]:
    """An event an id, all within the last full hour, the pairs in turn, so that every one of them is active."""
    tails = [tail(pair) for pair in range(pairs)]
    homes = [home(pair) for pair in range(pairs)]
    waiting: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for number in range(ids):
        pair = number % pairs
        batch = waiting[homes[pair]]
        batch.append(f'{{"id":"{number:x}{tails[pair]}')
        if len(batch) == LINES_PER_RECORD:
            yield Message(homes[pair], "\n".join(batch).encode())
            batch.clear()
    yield from (Message(number, "\n".join(batch).encode()) for number, batch in enumerate(waiting) if batch)


def probes(ids: int, pairs: int) -> Iterator[Message]:
    """To every partition a new event and an old one again."""
    left = set(range(PARTITIONS))
    for pair in range(min(pairs, ids)):
        if home(pair) in left:
            left.remove(home(pair))
            yield Message(home(pair), f'{{"id":"{pair:x}{tail(pair)}\n{{"id":"new{tail(pair)}'.encode())


def home(pair: int) -> int:
    return partition_of(f"t{pair // 3}", PARTITIONS)


def tail(pair: int) -> str:
    """An event's line behind its id."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    time = (hour + timedelta(milliseconds=pair * 7919 % 3_600_000)).isoformat(timespec="milliseconds")[:-6]
    names = f'"tenant_id":"t{pair // 3}","metric":"{NAMES[pair % 3]}"'
    return f'",{names},"quantity":"{pair % 100}.25","timestamp":"{time}Z"}}'


def latest(marks: list[kafka.Mark]) -> dict[int, kafka.Mark]:
    return {mark.partition: mark for mark in sorted(marks, key=lambda mark: mark.next_offset)}


def verify(installation: Installation, ids: int, pairs: int) -> None:
    """Raises CheckFailedError where the newest totals do not count every id once."""
    counts: dict[bytes, int] = {}
    for message in read_all(installation.bootstrap, installation.topic(topics.TOTALS)):
        key, value = message.key(), message.value()
        if key is not None and key != topics.PROGRESS_KEY and value is not None:
            counts[key] = int(value.split(b'"count":', 1)[1].split(b",", 1)[0])
    if len(counts) != pairs or sum(counts.values()) != ids:
        raise CheckFailedError(f"{len(counts)} totals count {sum(counts.values())} events, not {pairs} and {ids}")


def of_points(points: list[Point]) -> str:
    rows = [
        f"| {point.ids:,} | {point.cells:,} | {point.loaded / MB:.0f} MB | {point.restored / MB:.0f} MB "
        f"| {point.peak / MB:.0f} MB | {point.opened:.1f} s | {point.restart:.1f} s |"
        for point in points
    ]
    head = (
        "| ids | pairs × hours | memory | after a restart | most while loading | all partitions open | judges again |"
    )
    return "\n".join(["Measured:", "", head, "|--:|--:|--:|--:|--:|--:|--:|", *rows])


def by_rate_and_horizon(points: list[Point]) -> str:
    """What the measured points mean for a worker that owns all partitions, by least squares."""
    memory = fit(points, [point.rss / MB for point in points])
    restart = fit(points, [point.restart for point in points])
    rows = []
    for rate in RATES:
        cells = [f"{rate:,}/s"]
        for hours in HORIZONS:
            known = np.array([1.0, rate * 3600 * hours, TABLE_PAIRS * (hours + 1)])
            megabytes, seconds = float(known @ memory), float(known @ restart)
            size = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
            cells.append(f"{size}, {seconds:.0f} s")
        rows.append("| " + " | ".join(cells) + " |")
    head = "| events a second | " + " | ".join(f"horizon {hours} h" for hours in HORIZONS) + " |"
    return "\n".join(
        [
            f"Computed from these points, for one worker that owns all partitions and {TABLE_PAIRS:,} pairs active in "
            f"every hour: memory and restart. {memory[0]:.0f} MB and {restart[0]:.1f} s at rest, "
            f"{memory[1] * MB:.0f} bytes and {restart[1] * 1e6:.2f} µs an id, {memory[2] * MB:.0f} bytes and "
            f"{restart[2] * 1e6:.1f} µs a pair and hour. Two workers share them.",
            "",
            head,
            "|--:" * (len(HORIZONS) + 1) + "|",
            *rows,
        ]
    )


def fit(points: list[Point], values: list[float]) -> NDArray[np.float64]:
    """Base, per id and per cell, by least squares; a coefficient that noise would put below 0 is left out."""
    known = np.array([[1.0, point.ids, point.cells] for point in points])
    found: NDArray[np.float64] = np.zeros(3)
    kept = [0, 1, 2]
    while kept:
        some, *_rest = np.linalg.lstsq(known[:, kept], np.array(values), rcond=None)
        if (some >= 0).all():
            found[kept] = some
            break
        del kept[int(np.argmin(some))]
    return found
