"""Events per second from an app: the SDK, with and without a spool, against confluent-kafka used bare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from meterline_schemas import topics
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, settle
from tests.benchmarks.measure import per_million
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.support.cluster import read_all
from tests.support.recount import lines

SECONDS = 600
TRACK = "tests.benchmarks.processes.track"
RAW = "tests.benchmarks.processes.raw_producer"


def run(bench: Bench, sizes: Sizes) -> Result:
    events = sizes.half
    passes = [(ours(bench, events), ours(bench, events, spool=True), bare(bench, events)) for _ in range(sizes.passes)]
    with_sdk, with_spool, raw = (
        sorted(found, key=lambda each: rate(each, events)) for found in zip(*passes, strict=True)
    )
    middle = len(passes) // 2
    return Result(
        part="sdk",
        events=events,
        figures=[
            Figure("rate", "events per second with the SDK, flush included", rate(with_sdk[middle], events)),
            Figure("spool_rate", "the same with a spool", rate(with_spool[middle], events)),
            Figure("raw_rate", "events per second with confluent-kafka bare, flush included",
                   rate(raw[middle], events)),
            Figure("cpu", "CPU seconds per million events with the SDK",
                   per_million(with_sdk[middle]["cpu"], events), "s"),
            Figure("spool_cpu", "the same with a spool", per_million(with_spool[middle]["cpu"], events), "s"),
            Figure("raw_cpu", "CPU seconds per million events with confluent-kafka bare",
                   per_million(raw[middle]["cpu"], events), "s"),
        ],
        check=f"after every pass {with_sdk[middle]['check']}",
        notes=[
            "same client settings (idempotent, acks=all, lz4, linger 5 ms); the bare producer makes a UUID, a time and "
            "the JSON (msgspec) and sends an event a record; both wait where 100,000 (bare) or 50,000 (SDK) events "
            f"are under way. The pass of median rate of {len(passes)} each, in turn"
        ],
    )  # fmt: skip


def ours(bench: Bench, events: int, *, spool: bool = False) -> dict[str, Any]:
    installation = bench.installation("sdk")
    settle()
    out = bench.folder / f"{installation.prefix}json"
    environment = installation.environment()
    if spool:
        environment["METERLINE_SPOOL"] = str(bench.folder / f"{installation.prefix}spool")
    bench.python("sdk", TRACK, "burst", str(events), "0", str(out), **environment).finish(SECONDS)
    found: dict[str, Any] = json.loads(out.read_bytes())
    found["check"] = compare(bench.bootstrap, installation.topic(topics.EVENTS), found)
    bench.remove(installation)
    return found


def bare(bench: Bench, events: int) -> dict[str, Any]:
    prefix = bench.prefix("raw")
    kafka.create(bench.bootstrap, prefix + "events", PARTITIONS)
    settle()
    out = bench.folder / f"{prefix}json"
    bench.python("raw", RAW, bench.bootstrap, prefix + "events", str(events), str(out)).finish(SECONDS)
    found: dict[str, Any] = json.loads(out.read_bytes())
    compare(bench.bootstrap, prefix + "events", found)
    kafka.drop(bench.bootstrap, prefix)
    return found


def rate(found: Mapping[str, Any], events: int) -> float:
    return float(events / (found["ended"] - found["began"]))


def compare(bootstrap: str, topic: str, found: Mapping[str, Any]) -> str:
    """Every line of the topic against what was tracked: count and sum by tenant and metric, each id once.

    Raises:
        CheckFailedError: they differ, or events were dropped.
    """
    totals: dict[str, tuple[int, Decimal]] = {}
    ids: set[str] = set()
    for message in read_all(bootstrap, topic):
        for line in lines(message.value() or b""):
            event = json.loads(line)
            if not event or event["tenant_id"] == "warm-up":
                continue
            ids.add(event["id"])
            key = f"{event['tenant_id']}|{event['metric']}"
            count, total = totals.get(key, (0, Decimal(0)))
            totals[key] = (count + 1, total + Decimal(event["quantity"]))
    expected = {key: (count, Decimal(total)) for key, (count, total) in found["expected"].items()}
    counted = sum(count for count, _total in totals.values())
    if found["left"] or found.get("dropped") or found.get("failed") or totals != expected or len(ids) != counted:
        raise CheckFailedError(
            f"{topic} holds {counted} lines with {len(ids)} ids; {found['left']} were not flushed, "
            f"{found.get('dropped', 0)} dropped, {found.get('failed', 0)} failed"
        )
    return f"the topic holds {counted:,} lines with as many ids, count and sum equal by tenant and metric"
