"""Memory of the API and of ClickHouse while a large export is sent, in each format, and whether every row is in it."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from tests.benchmarks.cluster import Bench, Installation, wait
from tests.benchmarks.measure import MB, Sampler, rss_of
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.services.clickhouse import execute

KEY = "benchmark"
READY_SECONDS = 120
MOST_GROWTH = 100 * MB  # from a file of a tenant to one of all: what is called flat
START = "2026-10-01 00:00:00"
RANGE = {"from": "2026-10-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}
MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_LINE = re.compile(rb'"quantity":"([^"]*)"')


class Found(NamedTuple):
    rows: int
    total: Decimal


class Sent(NamedTuple):
    """``peak`` is the most resident bytes of the API, ``seconds`` to the last byte, ``first`` to the first."""

    found: Found
    size: int
    seconds: float
    first: float
    peak: int


def run(bench: Bench, sizes: Sizes) -> Result:
    rows = 5 * sizes.events
    installation = bench.installation("export", clickhouse=True)
    wanted = fill(installation, rows)
    api = bench.python(
        "api", "meterline_api", **installation.environment(), METERLINE_API_KEY=KEY, METERLINE_API_PORT="0"
    )
    api.wait_for_log("listening on")
    address = urlsplit(re.findall(r"listening on (\S+)", api.logged("listening on")[0])[0]).netloc
    wait(lambda: is_ready(address), READY_SECONDS, "the API to be ready", api.check)
    figures, worst = [], 0.0
    with Sampler(clickhouse=bench.clickhouse_pid) as clickhouse:
        for format in MEDIA_TYPES:
            small = pull(bench, address, api.pid, format, {"tenant_id": "tenant-0"})
            large = pull(bench, address, api.pid, format, {})
            verify(format, large.found, wanted)
            growth = large.peak - small.peak
            worst = max(worst, growth)
            figures += [
                Figure(f"{format}_rate", f"{format}: rows per second", rows / large.seconds),
                Figure(f"{format}_first", f"{format}: to the first byte", large.first, "s"),
                Figure(f"{format}_size", f"{format}: the file", large.size / MB, "MB"),
                Figure(f"{format}_peak", f"{format}: memory of the API, at most", large.peak / MB, "MB"),
                Figure(f"{format}_growth", f"{format}: of it beyond that of a small file",
                       growth / MB, "MB"),
            ]  # fmt: skip
    rss = rss_of(api.pid)
    api.stop()
    bench.remove(installation)
    flat = "flat" if worst <= MOST_GROWTH else f"NOT FLAT: it grew by {worst / MB:.0f} MB"
    return Result(
        part="export",
        events=rows,
        figures=[
            *figures,
            Figure("rss", "memory of the API afterwards", rss / MB, "MB"),
            Figure("clickhouse_peak", "memory of ClickHouse, at most", clickhouse.peak_rss("clickhouse") / MB, "MB"),
        ],
        check="the number of rows and the sum of their quantities in every file are those that were written",
        notes=[f"memory is {flat}; GET /v1/exports/events, consistent, not packed, read by Python on the same machine"],
    )


def fill(installation: Installation, rows: int) -> Found:
    """Events of a hundred metrics and a thousand tenants, at once; what they come to."""
    assert installation.clickhouse is not None
    database = installation.clickhouse.database
    chunk = 1_000_000
    for first in range(0, rows, chunk):
        execute(
            installation.clickhouse,
            f"INSERT INTO {database}.usage_events_raw (tenant_id, metric, timestamp, id, quantity, subject, source, "
            "properties, late, kafka_partition, kafka_offset, kafka_line, received_at) "
            "SELECT concat('tenant-', toString(number % 1000)), concat('m-', toString(intDiv(number, 7) % 100)), "
            f"toDateTime64('{START}', 3, 'UTC') + toIntervalMillisecond(number % 5000000000), "
            "concat('id-', toString(number)), toDecimal128(number % 100003, 9) / 1000, "
            "concat('user-', toString(number % 17)), 'bench', map('region', 'eu', 'tier', 'gold'), 0, "
            "number % 4, number, 0, now64(3) "
            f"FROM numbers({first}, {min(chunk, rows - first)})",
        )
    ((count, total),) = installation.query("SELECT count(), sum(toDecimal256(quantity, 9)) FROM {db}.usage_events")
    if int(count) != rows:
        raise CheckFailedError(f"{count} events were written, not {rows}")
    return Found(int(count), Decimal(total))


def pull(bench: Bench, address: str, pid: int, format: str, query: dict[str, str]) -> Sent:
    path = f"/v1/exports/events?{urlencode({**RANGE, **query})}"
    file = bench.folder / f"export.{format}"
    with Sampler(api=pid) as sampler:
        began = time.perf_counter()
        first = 0.0
        connection = http.client.HTTPConnection(address, timeout=600)
        connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}", "Accept": MEDIA_TYPES[format]})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise CheckFailedError(f"an export was answered {answer.status}: {answer.read()[:300]!r}")
        with file.open("wb") as out:
            while piece := answer.read(1_000_000):
                first = first or time.perf_counter() - began
                out.write(piece)
        seconds = time.perf_counter() - began
        connection.close()
    found, size = READERS[format](file), file.stat().st_size
    file.unlink()
    return Sent(found, size, seconds, first, sampler.peak_rss("api"))


def verify(format: str, found: Found, wanted: Found) -> None:
    if found != wanted:
        raise CheckFailedError(
            f"{format} has {found.rows} rows and {found.total}, not {wanted.rows} and {wanted.total}"
        )


def _summed(quantities: Iterator[str]) -> Found:
    with localcontext() as context:
        context.prec = 100
        rows, total = 0, Decimal(0)
        for quantity in quantities:
            rows, total = rows + 1, total + Decimal(quantity)
        return Found(rows, total)


def _csv(file: Path) -> Found:
    with file.open() as lines:
        place = next(lines).rstrip("\n").split(",").index("quantity")  # no field before it needs quotes
        return _summed(line.split(",")[place] for line in lines)


def _ndjson(file: Path) -> Found:
    with file.open("rb") as lines:
        json.loads(next(lines))
        lines.seek(0)
        return _summed(found[1].decode() for line in lines if (found := _LINE.search(line)))


def _parquet(file: Path) -> Found:
    from pyarrow import parquet

    def quantities() -> Iterator[str]:
        for batch in parquet.ParquetFile(file).iter_batches(columns=["quantity"]):
            yield from (str(each) for each in batch.column(0).to_pylist())

    return _summed(quantities())


READERS: dict[str, Callable[[Path], Found]] = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}


def is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/health/ready")
        ready: Any = connection.getresponse().status == http.client.OK
        return bool(ready)
    except OSError:
        return False  # it does not listen yet
    finally:
        connection.close()
