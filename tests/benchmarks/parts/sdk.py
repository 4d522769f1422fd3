"""The SDK against confluent-kafka used bare, and what a call of ``track()`` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from meterline_schemas import topics
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, settle
from tests.benchmarks.measure import per_million, percentile
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes
from tests.support.cluster import read_all
from tests.support.recount import lines

SECONDS = 600
TRACK = "tests.benchmarks.processes.track"
RAW = "tests.benchmarks.processes.raw_producer"


def run(bench: Bench, sizes: Sizes) -> Result:
    events = sizes.half
    installation = bench.installation("sdk")
    ours_out, timed_out, raw_out = (bench.folder / f"{name}.json" for name in ("sdk", "sdk-timed", "raw"))
    settle()
    bench.python("sdk", TRACK, "burst", str(events), "0", str(ours_out), **installation.environment()).finish(SECONDS)
    ours = json.loads(ours_out.read_bytes())
    check = compare(bench.bootstrap, installation.topic(topics.EVENTS), ours)
    bench.remove(installation)

    prefix = bench.prefix("raw")
    kafka.create(bench.bootstrap, prefix + "events", PARTITIONS)
    settle()
    bench.python("raw", RAW, bench.bootstrap, prefix + "events", str(events), str(raw_out)).finish(SECONDS)
    raw = json.loads(raw_out.read_bytes())
    compare(bench.bootstrap, prefix + "events", raw)
    kafka.drop(bench.bootstrap, prefix)

    installation = bench.installation("sdk")
    settle()
    bench.python("sdk-timed", TRACK, "latency", str(events), "0", str(timed_out), **installation.environment()).finish(
        SECONDS
    )
    timed = json.loads(timed_out.read_bytes())
    compare(bench.bootstrap, installation.topic(topics.EVENTS), timed)
    bench.remove(installation)
    microseconds = [took / 1000 for took in timed["nanoseconds"]]
    return Result(
        part="sdk",
        events=events,
        figures=[
            Figure("rate", "events per second with the SDK, flush included", rate(ours, events)),
            Figure("raw_rate", "events per second with confluent-kafka bare, flush included", rate(raw, events)),
            Figure("cpu", "CPU seconds per million events with the SDK", per_million(ours["cpu"], events), "s"),
            Figure("raw_cpu", "CPU seconds per million events with confluent-kafka bare",
                   per_million(raw["cpu"], events), "s"),
            Figure("track_median", "track(), median", percentile(microseconds, 50), "µs"),
            Figure("track_p99", "track(), 99th percentile", percentile(microseconds, 99), "µs"),
        ],
        check=check + "; the same for the bare producer and for the timed calls",
        notes=[
            "same client settings (idempotent, acks=all, lz4, linger 5 ms); the bare producer makes a UUID, a time and "
            "the JSON (msgspec) and sends an event a record; both wait where 100,000 (bare) or 50,000 (SDK) events "
            "are under way. Calls are timed in a tight loop, the SDK's thread sending beside it"
        ],
    )  # fmt: skip


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
