"""Our sink on judged events that wait in Kafka, against bare inserts of the same bytes into a table like its own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from decimal import Decimal
from urllib.parse import urlencode

from meterline_schemas import topics
from meterline_sinks.clickhouse import INSERT_SETTINGS
from meterline_sinks.settings import SinkSettings
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Bench, Installation, settle, wait
from tests.benchmarks.measure import MB, Sampler, per_million
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.workload import Message, Workload, in_batches

SECONDS = 600
LINES = 500  # of a record, as the stream writes them


def run(bench: Bench, sizes: Sizes) -> Result:
    installation = bench.installation("sink", clickhouse=True)
    messages = list(accepted(sizes.rows, installation.partitions))
    kafka.fill(bench.bootstrap, installation.topic(topics.ACCEPTED), messages)
    bodies = joined([message.value for message in messages if message.key is None])
    settle()
    bare_before = insert_bare(installation, "bare_before", bodies)
    merged(installation)
    sink = bench.sink(installation)
    with Sampler(sink=sink.pid, clickhouse=bench.clickhouse_pid) as sampler:
        sink.wait_for_log(r" reading \d+ partitions")
        began = min(sink.times_logged(r" reading \d+ partitions"))
        wait(lambda: rows(installation, "usage_events_raw") >= sizes.rows, SECONDS, "all rows", sink.check, every=0.2)
        ended = time.time()
    merged(installation)
    bare_after = insert_bare(installation, "bare_after", bodies)
    sink.stop()
    check = verify(installation, messages, sizes.rows)
    bench.remove(installation)
    return Result(
        part="sink",
        events=sizes.rows,
        figures=[
            Figure("rate", "rows per second, from the assignment of partitions until all are queryable",
                   sizes.rows / (ended - began)),
            Figure("bare_rate", "rows per second of bare inserts, the better of one before and one after",
                   sizes.rows / min(bare_before, bare_after)),
            Figure("bare_worse", "rows per second of bare inserts, the worse",
                   sizes.rows / max(bare_before, bare_after)),
            Figure("bytes", "bytes of a row", sum(map(len, bodies)) / sizes.rows),
            Figure("cpu", "CPU seconds of the sink per million rows",
                   per_million(sampler.cpu("sink", began, ended), sizes.rows), "s"),
            Figure("clickhouse_cpu", "CPU seconds of ClickHouse per million rows meanwhile",
                   per_million(sampler.cpu("clickhouse", began, ended), sizes.rows), "s"),
            Figure("rss", "most memory of the sink", sampler.peak_rss("sink") / MB, "MB"),
        ],
        check=check,
        notes=[
            f"bare inserts: `INSERT … FORMAT JSONEachRow` over the same HTTP server, {len(bodies)} bodies of up to "
            f"{SinkSettings().flush_bytes // 2**20} MiB as the sink cuts them, one after another, the same settings"
        ],
    )  # fmt: skip


def accepted(events: int, partitions: int) -> Iterator[Message]:
    """Records as the stream writes them to ``usage.accepted``, each partition ended by its progress."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"
    offsets = [0] * partitions
    counts = [0] * partitions
    for partition, value, _key, _time in in_batches(Workload(events, repeats=0), partitions, LINES):
        lines = value.split(b"\n")
        rows = [
            b'%s,"kafka_partition":%d,"kafka_offset":%d,"kafka_line":%d,"received_at":"%s"}'
            % (line[:-1], partition, offsets[partition], number, now.encode())
            for number, line in enumerate(lines)
        ]
        offsets[partition] += 1
        counts[partition] += len(lines)
        yield Message(partition, b"\n".join(rows))
    for partition, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        progress = {
            "kafka_partition": partition,
            "next_offset": offset,
            "received_until": now,
            "latest_timestamp": now,
            "lines": count,
            "accepted": count,
        }
        yield Message(partition, json.dumps(progress).encode(), topics.PROGRESS_KEY)


def joined(values: Sequence[bytes]) -> list[bytes]:
    """Bodies as large as the sink's."""
    limit = SinkSettings().flush_bytes
    bodies: list[list[bytes]] = [[]]
    size = 0
    for value in values:
        bodies[-1].append(value)
        size += len(value)
        if size >= limit:
            bodies.append([])
            size = 0
    return [b"\n".join(body) for body in bodies if body]


def insert_bare(installation: Installation, table: str, bodies: Sequence[bytes]) -> float:
    """Seconds that it takes to write all bodies into a new table made like the sink's."""
    settings = installation.clickhouse
    assert settings is not None
    database = settings.database
    installation.query(f"CREATE TABLE {database}.{table} AS {database}.usage_events_raw")
    query = urlencode({"query": f"INSERT INTO {database}.{table} FORMAT JSONEachRow", **INSERT_SETTINGS})
    headers = {"X-ClickHouse-User": settings.user, "X-ClickHouse-Key": settings.password.get_secret_value()}
    began = time.perf_counter()
    for body in bodies:
        request = urllib.request.Request(f"{settings.url}/?{query}", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
    return time.perf_counter() - began


def merged(installation: Installation) -> None:
    """Wait until ClickHouse merges nothing, so that one measurement does not slow the next."""
    wait(lambda: installation.query("SELECT count() FROM system.merges")[0][0] == "0", 120, "merges to end", every=0.5)
    settle(1)


def rows(installation: Installation, table: str) -> int:
    return int(installation.query(f"SELECT count() FROM {{db}}.{table}")[0][0])


def verify(installation: Installation, messages: Sequence[Message], events: int) -> str:
    """Count and sum in all three tables against what was sent.

    Raises:
        CheckFailedError: they differ.
    """
    expected = Decimal(0)
    for message in messages:
        if message.key is None:
            for line in message.value.split(b"\n"):
                expected += Decimal(json.loads(line)["quantity"])
    for table in ("usage_events_raw", "bare_before", "bare_after"):
        sql = f"SELECT count(), sum(toDecimal256(quantity, 9)) FROM {{db}}.{table} FINAL"
        count, sum = installation.query(sql)[0]
        if int(count) != events or Decimal(sum) != expected:
            raise CheckFailedError(f"{table} has {count} rows that sum to {sum}, not {events} and {expected}")
    return f"{events:,} rows in each table after FINAL, the sum of their quantities {expected:,} as it was sent"
