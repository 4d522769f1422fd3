"""Usage over HTTP from many events, while others come in: what finance and dashboards ask, under load.

The events of five weeks are made in ClickHouse at once, as the sink leaves them: raw rows, some of them late, and the
totals of their hours. Then an app sends 5,000 events a second through stream worker and sink, and hey asks.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.benchmarks import load
from tests.benchmarks.cluster import Bench, Installation, Running, settle, wait
from tests.benchmarks.load import Load
from tests.benchmarks.measure import percentile
from tests.benchmarks.parts import ingest
from tests.benchmarks.parts import pipeline as pipelines
from tests.benchmarks.parts.sdk import TRACK
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import TENANTS, Sizes
from tests.benchmarks.workload import NAMES

RAW_TIMES = 20  # as many events as the stream worker's benchmark has
CONNECTIONS = 4
ASKED_TENANTS = 8
RATE = 20.0  # requests a second of each connection: more than two cores answer while events come in
CALM = 10.0  # of one connection: hey's connections tick together, four of them would wait for each other
COMPARED = 5  # rows of each answer
MILLI = 1_000
_LATE_EVERY = 1_000
_CHUNK = 2_000_000
_QUIET = 10.0  # seconds without a merge
_RECOUNTED = 600.0  # seconds


@dataclass(frozen=True)
class Question:
    """``path`` is asked of several tenants in turn, unless it is of all."""

    key: str
    label: str
    query: dict[str, str]
    of_tenant: bool = True

    def paths(self) -> Iterator[str]:
        for number in range(ASKED_TENANTS if self.of_tenant else 1):
            whose = {"tenant_id": f"old-{number * 17 % TENANTS}"} if self.of_tenant else {}
            yield "/v1/usage?" + urlencode({**whose, **self.query})


def run(bench: Bench, sizes: Sizes) -> Result:
    hey = load.load_generator()
    pipeline = pipelines.start(bench, "reports")
    now = datetime.now(UTC)
    rows = RAW_TIMES * sizes.events
    first = (now - timedelta(days=34)).replace(hour=0, minute=0, second=0, microsecond=0)
    fill(pipeline.installation, rows, first, int((now - timedelta(hours=1) - first).total_seconds()))
    merge(pipeline.installation)
    api = ingest.start(bench, **pipeline.installation.environment())
    # recounts the hours that were written to since its last run: here all of them, elsewhere those of an hour ago
    api.wait_for_log(r" check-aggregation for \S+ is done", seconds=_RECOUNTED)
    month = {"from": text(first), "to": text(first + timedelta(days=31))}
    questions = (
        Question("current", "usage of a tenant this month", {}),
        Question("month", "usage of a tenant's month", month),
        Question("days", "a tenant's month by day", {**month, "window": "day"}),
        Question("grouped", "a day of all tenants, each by itself",
                 {"from": month["from"], "to": text(first + timedelta(days=1)), "group_by": "tenant_id",
                  "metric": NAMES[0], "limit": "1000"}, of_tenant=False),
    )  # fmt: skip
    requests = max(CONNECTIONS, min(400, sizes.events // 2_500)) // CONNECTIONS * CONNECTIONS
    seconds = max(3, int(sum(requests * 1.6 / (CONNECTIONS * RATE) + 2 for _ in questions) + 10))
    seconds += int(requests / CALM) + 10
    events, out = sizes.freshness_rate * seconds, bench.folder / "reports.json"
    app = bench.python("app", TRACK, "paced", str(events), str(sizes.freshness_rate), str(out),
                       **pipeline.installation.environment())  # fmt: skip
    settle(2)
    found: dict[str, Load] = {}
    for question in questions:
        found[question.key] = ask(hey, api, question, requests)
    calm = ask(hey, api, questions[1], requests, CALM, connections=1)
    busy_to_the_end = app.process.poll() is None
    checked = sum(compare(pipeline.installation, api, question) for question in questions)
    app.finish(seconds + 120)
    verdict = wait_and_verify(pipeline, json.loads(out.read_bytes()), events)
    api.stop()
    pipeline.stop()
    bench.remove(pipeline.installation)
    figures = [
        figure
        for question in questions
        for figure in (
            Figure(f"{question.key}_p50", f"{question.label}, median",
                   percentile(found[question.key].waits, 50) * MILLI, "ms"),
            Figure(f"{question.key}_p99", f"{question.label}, 99th percentile",
                   percentile(found[question.key].waits, 99) * MILLI, "ms"),
        )
    ]  # fmt: skip
    for number in (50, 99):
        said = "median" if number == 50 else f"{number}th percentile"
        asked = f"usage of a tenant's month on one connection, {CALM:.0f} requests a second, {said}"
        figures.append(Figure(f"calm_p{number}", asked, percentile(calm.waits, number) * MILLI, "ms"))
    return Result(
        part="reports",
        events=rows,
        figures=figures,
        check=f"{checked} rows of answers equal the raw events behind them, counted by SQL; of what came in "
        f"meanwhile {verdict}",
        notes=[
            f"{rows:,} events of {TENANTS:,} tenants × {len(NAMES)} metrics over 34 days, one of "
            f"{_LATE_EVERY:,} late; "
            f"{requests} requests of each question, {CONNECTIONS} connections with up to {RATE:.0f} a second each; "
            f"{sizes.freshness_rate:,} events a second came in "
            + ("all the while" if busy_to_the_end else "and ended before the last question")
        ],
    )


def wait_and_verify(pipeline: pipelines.Pipeline, found: dict[str, Any], events: int) -> str:
    wait(lambda: pipeline.counted() >= events, 120, "what came in meanwhile", pipeline.check)
    return pipeline.verify(found)


def ask(
    hey: Path, api: Running, question: Question, requests: int, rate: float = RATE, connections: int = CONNECTIONS
) -> Load:
    """All answers of a question together."""
    paths = list(question.paths())
    requests = requests if question.of_tenant else requests // 10
    share = max(connections, requests // len(paths) // connections * connections)
    loads = [
        load.ask(
            hey,
            ingest.url_of(api, path),
            api,
            requests=share,
            connections=connections,
            headers={"Authorization": f"Bearer {ingest.KEY}"},
            rate=rate,
        )
        for path in paths
    ]
    statuses = [status for each in loads for status in each.statuses]
    if set(statuses) != {200} or len(statuses) != share * len(paths):
        raise CheckFailedError(f"{question.label}: answers were {sorted(set(statuses))}")
    waits = [each for one in loads for each in one.waits]
    return Load(waits, statuses, sum(each.seconds for each in loads), sum(each.cpu for each in loads))


def compare(installation: Installation, api: Running, question: Question) -> int:
    """How many rows of the answers were compared with the events themselves.

    Raises:
        CheckFailedError: one differs.
    """
    compared = 0
    for path in question.paths():
        request = urllib.request.Request(ingest.url_of(api, path), headers={"Authorization": f"Bearer {ingest.KEY}"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        for row in answer["data"][:COMPARED]:
            whose = row.get("tenant_id") or path.partition("tenant_id=")[2].partition("&")[0]
            ((count, total),) = installation.query(
                "SELECT count(), sum(toDecimal256(quantity, 9)) FROM {db}.usage_events "
                f"WHERE tenant_id = '{whose}' AND metric = '{row['metric']}' "
                f"AND timestamp >= parseDateTimeBestEffort('{row['from']}') "
                f"AND timestamp < parseDateTimeBestEffort('{row['to']}')"
            )
            if (int(count), Decimal(total)) != (row["count"], Decimal(row["value"])):
                raise CheckFailedError(f"{path}: {row} where the events are {count} and {total}")
            compared += 1
    if not compared:
        raise CheckFailedError(f"{question.label}: no row was answered")
    return compared


def fill(installation: Installation, rows: int, first: datetime, span: int) -> None:
    """Raw events, and totals of those on time and of the late ones apart, as the sink leaves them."""
    names = ", ".join(f"'{name}'" for name in NAMES)
    start = int(first.timestamp()) * 1000
    for begin in range(0, rows, _CHUNK):
        installation.query(
            "INSERT INTO {db}.usage_events_raw (tenant_id, metric, timestamp, id, quantity, subject, source, "
            "properties, late, kafka_partition, kafka_offset, kafka_line, received_at) "
            f"SELECT concat('old-', toString(cityHash64(number, 1) % {TENANTS})), "
            f"[{names}][1 + cityHash64(number, 2) % {len(NAMES)}], "
            f"fromUnixTimestamp64Milli({start} + toInt64(cityHash64(number, 3) % {span * 1000}), 'UTC') AS at, "
            "concat('old-', toString(number)), toDecimal128(cityHash64(number, 4) % 100000, 9) / 100, "
            "concat('user:', toString(cityHash64(number, 5) % 50)), 'app', "
            "map('region', ['eu', 'us'][1 + number % 2], 'endpoint', concat('/v1/', toString(number % 20))), "
            f"number % {_LATE_EVERY} = 0, number % {installation.partitions}, number, 0, at "
            f"FROM numbers({begin}, {min(_CHUNK, rows - begin)}) "
            "SETTINGS max_insert_threads = 2, max_partitions_per_insert_block = 1000"
        )
    for late, table, place, values in (
        (0, "usage_totals", "kafka_partition, version, ", "0, 1, "),
        (1, "usage_late_totals", "", ""),
    ):
        installation.query(
            f"INSERT INTO {{db}}.{table} (tenant_id, metric, hour, {place}count, sum, min, max, last, last_timestamp, "
            f"last_id) SELECT tenant_id, metric, toStartOfHour(timestamp) AS hour, {values}count(), "
            "sum(toDecimal256(quantity, 9)), min(quantity), max(quantity), argMax(quantity, (timestamp, id)), "
            f"max(timestamp), argMax(id, (timestamp, id)) FROM {{db}}.usage_events_raw WHERE late = {late} "
            "GROUP BY tenant_id, metric, hour SETTINGS max_partitions_per_insert_block = 1000"
        )


def merge(installation: Installation) -> None:
    """Return once what was written at once is merged, as it would be of five weeks: nothing for some seconds."""
    merges = "SELECT count() FROM system.merges WHERE database = '{db}'"
    quiet_since = time.monotonic()

    def quiet() -> bool:
        nonlocal quiet_since
        if installation.query(merges) != [["0"]]:
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > _QUIET

    wait(quiet, 600, "the events that were made are merged", every=0.5)


def text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
