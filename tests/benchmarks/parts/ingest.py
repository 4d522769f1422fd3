"""Events over HTTP: how many a second one API process takes, in batches and one by one, each acknowledged by Kafka."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from meterline_schemas import topics
from tests.benchmarks import load
from tests.benchmarks.cluster import Bench, Running, settle
from tests.benchmarks.load import Load
from tests.benchmarks.measure import percentile
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import TENANTS, Sizes
from tests.benchmarks.workload import NAMES
from tests.support.cluster import read_all
from tests.support.recount import lines

KEY = "benchmark"
BATCH = 100
BATCH_CONNECTIONS, SINGLE_CONNECTIONS = 16, 32
MILLI = 1_000


def run(bench: Bench, sizes: Sizes) -> Result:
    hey = load.load_generator()
    installation = bench.installation("ingest")
    api = start(bench, **installation.environment())
    batches = max(BATCH_CONNECTIONS, sizes.half // BATCH) // BATCH_CONNECTIONS * BATCH_CONNECTIONS
    singles = max(SINGLE_CONNECTIONS, sizes.events // 100) // SINGLE_CONNECTIONS * SINGLE_CONNECTIONS
    many, one = body(bench.folder / "many.json", BATCH), body(bench.folder / "one.json", 1)
    in_batches: list[Load] = []
    one_by_one: list[Load] = []
    for number in range(sizes.passes + 1):  # the first warms up
        for found, file, requests, connections in (
            (in_batches, many, batches, BATCH_CONNECTIONS),
            (one_by_one, one, singles, SINGLE_CONNECTIONS),
        ):
            settle(1)
            share = requests if number else requests // 10 // connections * connections or connections
            found.append(send(hey, api, file, share, connections))
    api.stop()
    sent = BATCH * sum(each.successes for each in in_batches) + sum(each.successes for each in one_by_one)
    held = sum(
        len(lines(message.value() or b"")) for message in read_all(bench.bootstrap, installation.topic(topics.EVENTS))
    )
    bench.remove(installation)
    if held != sent:
        raise CheckFailedError(f"{sent} events were acknowledged and the topic holds {held}")
    measured, alone = in_batches[1:], one_by_one[1:]
    return Result(
        part="ingest",
        events=sent,
        figures=[
            Figure("rate", f"events per second in batches of {BATCH}", median(each.rate * BATCH for each in measured)),
            Figure("cpu", "CPU of the API per event in a batch",
                   median(each.cpu / len(each.waits) / BATCH for each in measured) * 1_000_000, "µs"),
            Figure("p50", "a batch, median", median(percentile(each.waits, 50) for each in measured) * MILLI, "ms"),
            Figure("p99", "a batch, 99th percentile",
                   median(percentile(each.waits, 99) for each in measured) * MILLI, "ms"),
            Figure("single_rate", "requests per second with one event each", median(each.rate for each in alone)),
            Figure("single_p50", "one event, median",
                   median(percentile(each.waits, 50) for each in alone) * MILLI, "ms"),
            Figure("single_p99", "one event, 99th percentile",
                   median(percentile(each.waits, 99) for each in alone) * MILLI, "ms"),
        ],
        check=f"the topic holds each of the {sent:,} events that were answered with 202",
        notes=[
            f"hey {load.VERSION} over {BATCH_CONNECTIONS} connections ({SINGLE_CONNECTIONS} for single events), "
            f"{batches:,} and {singles:,} requests a pass, {sizes.passes} passes of each in turns after one "
            "to warm up; the median pass. One API process; broker and hey run on the same cores"
        ],
    )  # fmt: skip


def start(bench: Bench, **settings: str) -> Running:
    """An API process that takes events; its address is in its log."""
    given = {"METERLINE_CLICKHOUSE_URL": "http://127.0.0.1:1", **settings}
    api = bench.python("api", "meterline_api", METERLINE_API_KEY=KEY, METERLINE_API_PORT="0", **given)
    api.wait_for_log("listening on")
    settle(3)  # until it knows the topic
    return api


def url_of(api: Running, path: str) -> str:
    address: str = re.findall(r"listening on (\S+)", api.logged("listening on")[0])[0]
    return address + path


def send(hey: Path, api: Running, file: Path, requests: int, connections: int) -> Load:
    """Raises CheckFailedError where a request was not taken."""
    found = load.ask(
        hey,
        url_of(api, "/v1/events"),
        api,
        requests=requests,
        connections=connections,
        headers={"Authorization": f"Bearer {KEY}"},
        body=file,
    )
    wrong = {status for status in found.statuses if status != HTTPStatus.ACCEPTED}
    if wrong or len(found.statuses) != requests:
        raise CheckFailedError(f"of {requests} requests {len(found.statuses)} were answered, some with {wrong or 202}")
    return found


def body(file: Path, events: int) -> Path:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    made = [
        {
            "id": f"0199aa00-0000-7000-8000-{number:012d}",
            "tenant_id": f"tenant-{number * 7 % TENANTS}",
            "metric": NAMES[number % 3],
            "quantity": f"{number}.25",
            "timestamp": now,
            "properties": {"region": "eu", "endpoint": "/api/v1/items/{id}"},
        }
        for number in range(events)
    ]
    file.write_text(json.dumps(made if events > 1 else made[0]))
    return file


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
