"""How fast the API says what is left of a quota: from memory, in a process of ours and over HTTP, one after another."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from confluent_kafka import Producer

from meterline_api.catalog import Catalog
from meterline_api.quotas.counters import Counters
from meterline_api.quotas.desk import Desk
from meterline_schemas import topics
from meterline_schemas.catalog import Entry, Metric, Quota, Threshold
from meterline_schemas.counter import Counter
from meterline_schemas.kafka_tail import Followed
from meterline_schemas.partitioning import partition_of
from meterline_schemas.periods import Calendar, Period
from tests.benchmarks.cluster import Bench, Installation, wait
from tests.benchmarks.measure import percentile
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import PARTITIONS, Sizes

KEY = "benchmark"
METRIC = Metric(key="quota_checks")
INCLUDED = Decimal(50)
CONNECTIONS = 4
READY_SECONDS = 120
MOST_IN_PROCESS = 100_000
MOST_OVER_HTTP = 10_000


class Measured(NamedTuple):
    """``waits`` are the seconds of each check, ``seconds`` those of all together."""

    waits: Sequence[float]
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds


def run(bench: Bench, sizes: Sizes) -> Result:
    asked = tenants(sizes.limits, min(MOST_IN_PROCESS, sizes.events))
    inside = in_process(sizes.limits, asked)
    asked = asked[: min(MOST_OVER_HTTP, len(asked) // 5)]
    alone, busy = over_http(bench, sizes.limits, asked)
    milliseconds = 1_000.0
    return Result(
        part="quota",
        events=len(inside.waits) + len(alone.waits) + len(busy.waits),
        figures=[
            Figure("rate", "checks per second in process", inside.rate),
            Figure("p50", "a check in process, median", percentile(inside.waits, 50) * milliseconds, "ms"),
            Figure("p99", "a check in process, 99th percentile", percentile(inside.waits, 99) * milliseconds, "ms"),
            Figure("http_rate", f"checks per second over HTTP, {CONNECTIONS} connections at once", busy.rate),
            Figure("http_p50", "a check over HTTP, one connection, median",
                   percentile(alone.waits, 50) * milliseconds, "ms"),
            Figure("http_p99", "a check over HTTP, one connection, 99th percentile",
                   percentile(alone.waits, 99) * milliseconds, "ms"),
            Figure("http_busy_p99", f"a check over HTTP, {CONNECTIONS} connections at once, 99th percentile",
                   percentile(busy.waits, 99) * milliseconds, "ms"),
        ],
        check="what was used, is left and is beyond was right in every answer",
        notes=[
            f"{sizes.limits:,} tenants with a quota, a threshold and a counter each, asked in no order; the caller is "
            "Python on the same machine and keeps its connections open"
        ],
    )  # fmt: skip


def in_process(limits: int, asked: Sequence[int]) -> Measured:
    catalog, counters = Catalog(), Counters(PARTITIONS)
    found = [METRIC, *entries(limits)]
    catalog.apply(Followed(topics.CONFIG, 0, n, each.record_key, each.encode()) for n, each in enumerate(found))
    for each in made(limits):
        counters.apply(each.kafka_partition, each.key.record_key(), msgspec.json.encode(each))
    desk = Desk(catalog, counters, _NoTables())

    async def ask() -> Measured:
        waits = []
        began = time.perf_counter()
        for number in asked:
            asked_at = time.perf_counter()
            status = await desk.check(f"tenant-{number}", METRIC, "", datetime.now(UTC))
            waits.append(time.perf_counter() - asked_at)
            verify(number, status.used, status.remaining, status.overage)
        return Measured(waits, time.perf_counter() - began)

    return asyncio.run(ask())


def over_http(bench: Bench, limits: int, asked: Sequence[int]) -> tuple[Measured, Measured]:
    """One connection, then several at once."""
    installation = bench.installation("quota")
    bench.configure(installation, METRIC, *entries(limits))
    write(installation, made(limits))
    api = bench.python(
        "api",
        "meterline_api",
        **installation.environment(),
        METERLINE_API_KEY=KEY,
        METERLINE_API_PORT="0",
        METERLINE_CLICKHOUSE_URL="http://127.0.0.1:1",
    )
    api.wait_for_log("listening on")
    address = urlsplit(re.findall(r"listening on (\S+)", api.logged("listening on")[0])[0]).netloc
    wait(lambda: is_ready(address), READY_SECONDS, "the API to know all quotas", api.check)
    alone = together(address, asked, 1)
    busy = together(address, asked, CONNECTIONS)
    api.stop()
    bench.remove(installation)
    return alone, busy


def together(address: str, asked: Sequence[int], connections: int) -> Measured:
    parts = [asked[number::connections] for number in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        began = time.perf_counter()
        waits = list(itertools.chain.from_iterable(pool.map(lambda part: one_by_one(address, part), parts)))
        return Measured(waits, time.perf_counter() - began)


def one_by_one(address: str, asked: Sequence[int]) -> list[float]:
    waits = []
    connection = http.client.HTTPConnection(address, timeout=30)
    for number in asked:
        asked_at = time.perf_counter()
        status, body = get(connection, number)
        waits.append(time.perf_counter() - asked_at)
        if status != http.client.OK:
            raise CheckFailedError(f"a check was answered {status}: {body[:200]!r}")
        found = json.loads(body)
        verify(number, found["used"], found["remaining"], found["overage"])
    connection.close()
    return waits


def get(connection: http.client.HTTPConnection, number: int) -> tuple[int, bytes]:
    query = urlencode({"tenant_id": f"tenant-{number}", "metric": METRIC.key})
    connection.request("GET", f"/v1/quotas/check?{query}", headers={"Authorization": f"Bearer {KEY}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        return get(connection, 0)[0] == http.client.OK
    except OSError:
        return False  # it does not listen yet
    finally:
        connection.close()


def tenants(limits: int, count: int) -> list[int]:
    chance = random.Random(1)
    return [chance.randrange(limits) for _ in range(count)]


def entries(limits: int) -> Iterator[Entry]:
    for number in range(limits):
        tenant = f"tenant-{number}"
        yield Quota(metric=METRIC.key, tenant_id=tenant, included=INCLUDED)
        yield Threshold(id=f"threshold-{number}", metric=METRIC.key, tenant_id=tenant)


def made(limits: int) -> Iterator[Counter]:
    """A counter of this month for each tenant."""
    calendar = Calendar(Period.MONTHLY)
    start, end = calendar.bounds(datetime.now(UTC))
    for number in range(limits):
        tenant, amount = f"tenant-{number}", str(used(number))
        yield Counter(
            tenant_id=tenant, metric=METRIC.key, subject="", calendar=str(calendar), start=start, end=end,
            kafka_partition=partition_of(tenant, PARTITIONS), since=0, version=1, complete=True, count=1, sum=amount,
        )  # fmt: skip


def write(installation: Installation, counters: Iterator[Counter]) -> None:
    producer = Producer({"bootstrap.servers": installation.bootstrap, "linger.ms": 20, "log_level": 3})
    for each in counters:
        producer.produce(
            installation.topic(topics.COUNTERS), msgspec.json.encode(each), each.key.record_key(), each.kafka_partition
        )
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("the broker did not take all counters")


def used(number: int) -> Decimal:
    return Decimal(number % 10_007) / 100


def verify(number: int, said: str | None, remaining: str | None, overage: str) -> None:
    amount = used(number)
    wanted = (amount, max(INCLUDED - amount, Decimal(0)), max(amount - INCLUDED, Decimal(0)))
    if (Decimal(said or "NaN"), Decimal(remaining or "NaN"), Decimal(overage)) != wanted:
        raise CheckFailedError(f"tenant-{number}: {said} used, {remaining} left, {overage} beyond, not {wanted}")


class _NoTables:
    async def rows(self, *_arguments: Any, **_more: Any) -> Sequence[Sequence[Any]]:
        raise CheckFailedError("a check asked ClickHouse although its counter is in memory")
