"""An app that tracks usage with the SDK, from METERLINE_* variables; writes to OUT what it did, as JSON.

``python -m tests.benchmarks.processes.track burst EVENTS REPEATS OUT``      as fast as it can, at most what the buffer
                                                                           takes, then ``flush``
``python -m tests.benchmarks.processes.track latency EVENTS THREADS OUT``    times each call, in so many threads
``python -m tests.benchmarks.processes.track fill EVENTS 0 OUT``             until the buffer takes no more: its memory
``python -m tests.benchmarks.processes.track paced EVENTS RATE OUT``         at RATE events a second, in ticks of 10 ms
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from meterline import UsageProducer
from tests.benchmarks.measure import rss_of
from tests.benchmarks.processes.events import Call, calls, expected

_LOOK_EVERY = 500  # calls between looks at how much waits
_ROOM = 50_000  # pending events at which an app that must not lose any would wait: half of the default limit
_TICK = 0.01


def burst(producer: UsageProducer, made: list[Call]) -> dict[str, Any]:
    ids: list[str] = []
    track, keep = producer.track, ids.append
    began, used = time.time(), time.process_time()
    for number, (tenant, metric, quantity, repeats) in enumerate(made):
        keep(track(tenant, metric, quantity, id=ids[repeats] if repeats >= 0 else None))
        if number % _LOOK_EVERY == 0:
            while producer.stats().pending > _ROOM:
                time.sleep(0.001)
    tracked = time.time()
    left = producer.flush(300)
    ended = time.time()
    return {"began": began, "tracked": tracked, "ended": ended, "cpu": time.process_time() - used, "left": left}


def latency(producer: UsageProducer, made: list[Call], threads: int) -> dict[str, Any]:
    with ThreadPoolExecutor(threads) as pool:
        took = list(pool.map(lambda part: timed(producer, made[part::threads]), range(threads)))
    return {"nanoseconds": [each for found in took for each in found], "left": producer.flush(300)}


def timed(producer: UsageProducer, made: list[Call]) -> list[int]:
    took: list[int] = []
    clock, track, keep = time.perf_counter_ns, producer.track, took.append
    for number, (tenant, metric, quantity, _repeats) in enumerate(made):
        start = clock()
        track(tenant, metric, quantity)
        keep(clock() - start)
        if number % _LOOK_EVERY == 0:
            while producer.stats().pending > _ROOM:
                time.sleep(0.001)
    return took


def fill(producer: UsageProducer, made: list[Call]) -> dict[str, Any]:
    before = rss_of(os.getpid())
    for tenant, metric, quantity, _repeats in made:
        producer.track(tenant, metric, quantity)
    time.sleep(2)  # librdkafka takes what it can
    return {"rss": rss_of(os.getpid()) - before, "pending": producer.stats().pending, "left": 0}


def paced(producer: UsageProducer, made: list[Call], rate: float) -> dict[str, Any]:
    """``ticks``: the time just before the events of a tick were tracked, and the index behind the last of them."""
    ticks: list[tuple[float, int]] = []
    sent = 0
    began = time.time()
    while sent < len(made):
        now = time.time()
        due = min(len(made), int((now - began) * rate) + 1)
        if due > sent:
            for tenant, metric, quantity, _repeats in made[sent:due]:
                producer.track(tenant, metric, quantity)
            sent = due
            ticks.append((now, sent))
        time.sleep(max(0.0, _TICK - (time.time() - now)))
    return {"began": began, "ended": time.time(), "ticks": ticks, "left": producer.flush(60)}


def main(mode: str, events: str, number: str, out: str) -> None:
    made = calls(int(events), float(number) if mode == "burst" else 0)
    with UsageProducer() as producer:
        producer.track("warm-up", made[0].metric, 0)
        producer.flush(60 if mode != "fill" else 0)
        match mode:
            case "burst":
                found = burst(producer, made)
            case "latency":
                found = latency(producer, made, int(number))
            case "fill":
                found = fill(producer, made)
            case _:
                found = paced(producer, made, float(number))
        stats = producer.stats()
    found["dropped"], found["failed"] = stats.dropped, stats.failed
    found["expected"] = expected(made)
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
