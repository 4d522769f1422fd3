"""What the middleware costs a FastAPI app under uvicorn: the same app with it and without, asked by hey in turns."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meterline_deploy.ports import HOST, accepts
from meterline_schemas import topics
from tests.benchmarks import load
from tests.benchmarks.cluster import Bench, Running, settle, wait
from tests.benchmarks.load import Load
from tests.benchmarks.measure import percentile
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.support.cluster import read_all
from tests.support.ports import free_port
from tests.support.recount import lines

CONNECTIONS = 8
TENANT = "acme"
TEMPLATE = "/api/v1/items/{id}"
MICRO, MILLI = 1_000_000, 1_000


def run(bench: Bench, sizes: Sizes) -> Result:
    hey = load.load_generator()
    requests = max(1_000, sizes.events // 50) // CONNECTIONS * CONNECTIONS
    installation = bench.installation("middleware")
    bare_port, metered_port = free_port(), free_port()
    bare = serve(bench, bare_port)
    metered = serve(bench, metered_port, "metered", **installation.environment())
    loads: dict[int, list[Load]] = {bare_port: [], metered_port: []}
    successes = 0
    for number in range(sizes.passes + 1):  # the first warms up
        for port, server in ((bare_port, bare), (metered_port, metered)):
            settle(1)
            one = ask(hey, port, requests, server)
            successes += one.successes if server is metered else 0
            if number:
                loads[port].append(one)
    metered.stop()
    bare.stop()
    check = compare(bench.bootstrap, installation.topic(topics.EVENTS), successes)
    bench.remove(installation)
    without, with_it = loads[bare_port], loads[metered_port]
    return Result(
        part="middleware",
        events=successes,
        figures=[
            Figure("bare_rate", "requests per second without", rate(without)),
            Figure("rate", "requests per second with the middleware", rate(with_it)),
            Figure("bare_p50", "a request without, median", wait_of(without, 50) * MILLI, "ms"),
            Figure("p50", "a request with it, median", wait_of(with_it, 50) * MILLI, "ms"),
            Figure("bare_p99", "a request without, 99th percentile", wait_of(without, 99) * MILLI, "ms"),
            Figure("p99", "a request with it, 99th percentile", wait_of(with_it, 99) * MILLI, "ms"),
            Figure("overhead", "more time per request", (1 / rate(with_it) - 1 / rate(without)) * MICRO, "µs"),
            Figure("cpu", "more CPU per request of the app's process, sending to Kafka included",
                   (cpu(with_it) - cpu(without)) * MICRO, "µs"),
        ],
        check=check,
        notes=[
            f"hey {load.VERSION}, {CONNECTIONS} connections kept open, {requests:,} requests a pass, {sizes.passes} "
            "passes of each in turns after one to warm up; the median pass. One uvicorn process, uvloop and httptools"
        ],
    )  # fmt: skip


def serve(bench: Bench, port: int, *arguments: str, **environment: str) -> Running:
    server = bench.python("web-app", "tests.benchmarks.processes.web_app", str(port), *arguments, **environment)
    wait(lambda: accepts(port), 60, "the app to listen", server.check)
    return server


def ask(hey: Path, port: int, requests: int, server: Running) -> Load:
    url = f"http://{HOST}:{port}/api/v1/items/7"
    return load.ask(hey, url, server, requests=requests, connections=CONNECTIONS, headers={"x-api-key": TENANT})


def rate(loads: list[Load]) -> float:
    return statistics.median(load.rate for load in loads)


def cpu(loads: list[Load]) -> float:
    """CPU seconds per request."""
    return statistics.median(load.cpu / len(load.waits) for load in loads)


def wait_of(loads: list[Load], percent: float) -> float:
    return statistics.median(percentile(load.waits, percent) for load in loads)


def compare(bootstrap: str, topic: str, successes: int) -> str:
    """Each answer that hey saw succeed is one event.

    Raises:
        CheckFailedError: it is not.
    """
    found = list(tracked(bootstrap, topic))
    ids = {event["id"] for event in found}
    kinds = {(event["tenant_id"], event["quantity"], event["properties"]["endpoint"]) for event in found}
    if not len(found) == len(ids) == successes or kinds != {(TENANT, "1", TEMPLATE)}:
        raise CheckFailedError(f"{successes} answers succeeded; {len(found)} events with {len(ids)} ids, {kinds}")
    return f"the topic holds an event, each with an id of its own, for each of the {successes:,} answers that were 2xx"


def tracked(bootstrap: str, topic: str) -> Iterator[dict[str, Any]]:
    for message in read_all(bootstrap, topic):
        yield from (json.loads(line) for line in lines(message.value() or b""))
