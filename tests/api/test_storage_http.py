"""Storage metering as it runs: real processes, a real folder, and the numbers that come out."""

from __future__ import annotations

import asyncio
import random
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from meterline.ingest import Ingest
from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse
from meterline_api.door import Window
from meterline_api.problems import Problem
from meterline_api.quotas.desk import Desk as Quotas
from meterline_api.service import Service
from meterline_api.settings import ApiSettings
from meterline_api.storage.desk import Desk, Measured, measure_now
from meterline_api.storage.running import provider_of
from meterline_api.storage.settings import StorageSettings
from meterline_api.watch import Watch
from meterline_schemas import topics
from meterline_schemas.catalog import Aggregation, Book, Metric
from meterline_schemas.quantity import exact_nano, format_nano
from meterline_schemas.rating import unit_months
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

GAUGES = {
    "storage": Metric(key="storage", unit="GB", aggregation=Aggregation.TIME_WEIGHTED),
    "manual": Metric(key="manual", unit="byte", aggregation=Aggregation.TIME_WEIGHTED),
    "some": Metric(key="some", unit="byte", aggregation=Aggregation.TIME_WEIGHTED),
    "hours": Metric(key="hours", unit="hour", aggregation=Aggregation.TIME_WEIGHTED),
    "missed": Metric(key="missed", unit="GiB", aggregation=Aggregation.TIME_WEIGHTED),
}
ORDERS = Metric(key="orders", aggregation=Aggregation.SUM)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def pipeline(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """A stream worker and a sink, which take events of the last seventy days: all of the month before this one."""
    database = clickhouse_server.settings(f"storage{uuid.uuid4().hex[:12]}")
    prefix = f"st{uuid.uuid4().hex[:8]}."
    with Pipeline(kafka, prefix, tmp_path_factory.mktemp("pipeline"), database, partitions=2) as started:
        started.configure(*GAUGES.values(), ORDERS)
        started.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P70D")
        started.start("sink", "meterline_sinks")
        yield started
    clickhouse_server.restore()
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


def start(pipeline: Pipeline, folder: Path, **settings: str) -> ApiProcess:
    folder.mkdir(exist_ok=True)
    given = {"ACCEPT_PAST": "P70D", **settings}
    process = ApiProcess(pipeline.bootstrap, pipeline.prefix, pipeline.clickhouse, folder, **given)
    process.start()
    return process


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tenants")


@pytest.fixture(scope="module")
def api(pipeline: Pipeline, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """It measures when it is asked to, and once a year."""
    process = start(
        pipeline,
        tmp_path_factory.mktemp("api"),
        STORAGE_URL=f"file://{root}",
        STORAGE_METRIC="manual",
        STORAGE_SCHEDULE="0 3 29 2 *",
    )
    yield process
    assert process.stop() == 0


def store(root: Path, tenant: str, size: int | None) -> None:
    """A tenant's only file has so many bytes; None: neither file nor folder are there."""
    folder = root / tenant
    if size is None:
        (folder / "file").unlink()
        folder.rmdir()
        return
    folder.mkdir(exist_ok=True)
    with (folder / "file").open("wb") as file:
        file.truncate(size)


def readings(pipeline: Pipeline, metric: str) -> list[dict[str, Any]]:
    return pipeline.query(
        "SELECT tenant_id, toString(timestamp) AS at, toString(quantity) AS quantity, source FROM {db}.usage_events "
        f"WHERE metric = '{metric}' ORDER BY timestamp, tenant_id"
    )


def written(pipeline: Pipeline) -> None:
    """Until ClickHouse holds all that was sent."""
    pipeline.drain(seconds=60)
    pipeline.wait_for_sink(60)


# measured when asked for


def measure(api: ApiProcess, **query: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/storage/measure", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_measure_that_is_asked_for_is_a_reading_of_now(api: ApiProcess, pipeline: Pipeline, root: Path) -> None:
    store(root, "acme", 45_000_000_512)
    store(root, "globex", 7)
    before = datetime.now(UTC)
    tried = measure(api, dry_run=True)
    assert (tried["dry_run"], tried["measured"], tried["bytes"]) == (True, 2, 45_000_000_519)
    found = measure(api)
    at = datetime.fromisoformat(found["at"])
    assert before - timedelta(milliseconds=1) < at <= datetime.now(UTC)
    assert found == {
        "at": found["at"],
        "metric": "manual",
        "unit": "byte",
        "dry_run": False,
        "measured": 2,
        "failed": 0,
        "bytes": 45_000_000_519,
        "data": [
            {"tenant_id": "acme", "bytes": 45_000_000_512, "quantity": "45000000512"},
            {"tenant_id": "globex", "bytes": 7, "quantity": "7"},
        ],
        "errors": [],
    }
    written(pipeline)
    stamp = at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    assert readings(pipeline, "manual") == [  # and nothing of the dry run
        {"tenant_id": "acme", "at": stamp, "quantity": "45000000512", "source": "meterline-storage"},
        {"tenant_id": "globex", "at": stamp, "quantity": "7", "source": "meterline-storage"},
    ]


def test_who_deleted_everything_is_read_as_0_and_who_failed_keeps_the_last_reading(
    api: ApiProcess, pipeline: Pipeline, root: Path
) -> None:
    store(root, "acme", 1)
    store(root, "globex", 2)
    store(root, "wide" * 50, 3)
    measure(api)
    written(pipeline)
    store(root, "globex", None)
    (root / "with\ttab").mkdir()
    found = measure(api)
    assert [(each["tenant_id"], each["bytes"]) for each in found["data"]] == [
        ("acme", 1),
        ("globex", 0),
        ("wide" * 50, 3),
    ]
    assert found["failed"] == len(found["errors"]) == 1
    assert found["errors"][0]["tenant_id"] == "with\ttab"
    assert "unprintable" in found["errors"][0]["detail"]
    metrics = api.client.get("/metrics").text
    assert 'meterline_api_storage_readings_total{outcome="failed"} 1.0' in metrics
    assert "meterline_api_storage_bytes 4.0" in metrics


# with a desk of this process, for instants that are long ago


@asynccontextmanager
async def desk(pipeline: Pipeline, url: str, **more: Any) -> AsyncIterator[Desk]:
    """A desk on the real Kafka and ClickHouse, as an API process has one."""
    settings = StorageSettings(url=url, **more)
    kafka = KafkaSettings(kafka=pipeline.bootstrap, topic_prefix=pipeline.prefix)
    ingest = Ingest(kafka.client(), kafka.topic(topics.EVENTS))
    tables = ClickHouse(pipeline.clickhouse, 30)
    catalog = Catalog()
    catalog.book = pipeline_book()
    service = Service(
        ApiSettings(key=SecretStr("k")),
        Window(timedelta(days=70), timedelta(minutes=5)),
        kafka.topic(topics.EVENTS),
        ingest,
        catalog,
        tables,
        cast(Watch, None),
        cast(Quotas, None),
    )
    provider = provider_of(settings)
    assert provider is not None
    while not ingest.partitions:
        await asyncio.sleep(0.05)
    try:
        yield Desk(settings, provider, service)
    finally:
        await ingest.close()
        tables.close()


def pipeline_book() -> Book:
    book = Book()
    for metric in (*GAUGES.values(), ORDERS):
        assert book.apply(metric.record_key, metric.encode()) is None
    return book


async def refusal(pipeline: Pipeline, url: str, **settings: Any) -> tuple[int, str, str]:
    async with desk(pipeline, url, **settings) as one:
        with pytest.raises(Problem) as raised:
            await measure_now(one)
    return raised.value.status, raised.value.code, raised.value.detail


@pytest.mark.parametrize(
    ("metric", "folder", "status", "code", "said"),
    [
        ("orders", "", 409, "conflict", "is a sum: only a time_weighted one"),
        ("none", "", 409, "conflict", "is not defined: define it with aggregation time_weighted"),
        ("hours", "", 409, "conflict", "its unit is 'hour': storage is counted in byte, GB or GiB"),
        ("storage", "missing", 503, "not_ready", "cannot be read: No such file or directory; is it mounted?"),
    ],
)
def test_what_cannot_be_measured_says_why(
    pipeline: Pipeline, tmp_path: Path, metric: str, folder: str, status: int, code: str, said: str
) -> None:
    found = asyncio.run(refusal(pipeline, f"file://{tmp_path}/{folder}", metric=metric))
    assert found[:2] == (status, code)
    assert said in found[2]


def test_a_server_without_storage_says_so() -> None:
    with pytest.raises(Problem, match="set METERLINE_STORAGE_URL") as raised:
        asyncio.run(measure_now(None))
    assert raised.value.status == 409


def test_nothing_is_counted_while_nobody_knows_who_stored_something(pipeline: Pipeline, tmp_path: Path) -> None:
    away = ClickHouseSettings(url="http://127.0.0.1:1")

    async def ask() -> None:
        async with desk(pipeline, f"file://{tmp_path}", metric="storage") as one:
            one._service.clickhouse = ClickHouse(away, 1)
            await measure_now(one)

    store(tmp_path, "acme", 5)
    with pytest.raises(Problem, match=r"ClickHouse .* does not answer") as raised:
        asyncio.run(ask())
    assert raised.value.status == 503


def levels() -> dict[str, list[int | None]]:
    """Bytes of each tenant on the 32 mornings from the last of one month to the first of the month after the next."""
    generator = random.Random(6)
    return {
        "constant": [45_000_000_000] * 33,
        "deleted": [*[80_000_000_000] * 15, *[None] * 18],
        "grows": [generator.randrange(10**12) for _ in range(33)],
        "new": [*[None] * 10, *[1_234_567_891] * 23],
    }


def test_gb_months_and_gb_hours_of_a_month_equal_a_count_by_hand(
    api: ApiProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Every morning of the last month is measured, some of them by two desks that find different sizes."""
    end = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (end - HOUR).replace(day=1, hour=0)
    mornings = [begin - timedelta(days=1) + 3 * HOUR + timedelta(days=day) for day in range((end - begin).days + 1)]
    wanted = {tenant: each[: len(mornings)] for tenant, each in levels().items()}

    async def month() -> None:
        async with desk(pipeline, f"file://{tmp_path}") as one, desk(pipeline, f"file://{tmp_path}") as other:
            for day, at in enumerate(mornings):
                for tenant, sizes in wanted.items():
                    if sizes[day] is not None or (day and sizes[day - 1] is not None):
                        store(tmp_path, tenant, sizes[day])
                if day and any(sizes[day] is None and sizes[day - 1] is not None for sizes in wanted.values()):
                    await asyncio.to_thread(written, pipeline)  # who stored something is known from there
                measured = cast(Measured, await one.run(at))
                assert measured.failed == 0
                if day % 5 == 0:
                    for tenant in ("constant", "grows"):
                        store(tmp_path, tenant, 1)
                    await other.run(at)
                    await one.run(at)

    asyncio.run(month())
    written(pipeline)
    found = readings(pipeline, "storage")
    for tenant, sizes in wanted.items():  # of several measures for one instant the first stands
        told = {each["at"]: Decimal(each["quantity"]) for each in found if each["tenant_id"] == tenant}
        assert len(told) == sum(each["tenant_id"] == tenant for each in found)
        had = [index for index, size in enumerate(sizes) if size is not None]
        assert list(told.values())[: len(had)] == [Decimal(size) / 10**9 for size in sizes if size is not None]
        assert list(told.values())[len(had) :][:1] == [Decimal(0)] * (had[-1] + 1 < len(mornings))
        assert not any(list(told.values())[len(had) :])
    hours = Fraction((end - begin) / HOUR)
    for tenant, sizes in wanted.items():
        by_hand = sum(
            Fraction(size or 0, 10**9) * Fraction((min(at + 24 * HOUR, end) - max(at, begin)) / HOUR)
            for at, size in zip(mornings, sizes, strict=True)
        )
        answer = api.usage(tenant_id=tenant, metric="storage", start=begin.isoformat(), end=end.isoformat())
        (row,) = answer.json()["data"]
        assert row["unit"] == "GB"
        assert abs(Fraction(Decimal(row["value"])) - by_hand) <= Fraction(1, 2 * 10**9)
        gb_months = Fraction(unit_months(exact_nano(row["value"]), begin, end), 10**9)
        assert abs(gb_months - by_hand / hours) <= Fraction(2, 10**9)
        if tenant == "constant":
            assert format_nano(unit_months(exact_nano(row["value"]), begin, end)) == "45"
        if tenant == "deleted":
            assert gb_months < 40  # 80 GB, and less than half of the month


def test_a_measure_of_some_tenants_counts_nobody_else(pipeline: Pipeline, tmp_path: Path) -> None:
    at = datetime.now(UTC) - HOUR
    store(tmp_path, "acme", 5)
    store(tmp_path, "globex", 6)

    async def ask(only: list[str] | None, now: datetime) -> Measured:
        async with desk(pipeline, f"file://{tmp_path}", metric="some") as one:
            return await measure_now(one, tenants=only, now=now)

    asyncio.run(ask(None, at))
    written(pipeline)
    store(tmp_path, "globex", None)
    found = asyncio.run(ask(["acme"], at + timedelta(minutes=1)))
    assert [(one.tenant_id, one.bytes) for one in found.tenants] == [("acme", 5)]
    gone = asyncio.run(ask(["globex"], at + timedelta(minutes=2)))
    assert [(one.tenant_id, one.bytes) for one in gone.tenants] == [("globex", 0)]
    written(pipeline)
    assert [(each["tenant_id"], each["quantity"]) for each in readings(pipeline, "some")] == [
        *(("acme", "5"), ("globex", "6")),
        *(("acme", "5"), ("globex", "0")),
    ]


def test_a_process_stops_although_the_storage_hangs(pipeline: Pipeline, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as caller:
        settings = {
            "STORAGE_URL": "s3://tenants/",
            "STORAGE_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "STORAGE_REGION": "anywhere",
            "STORAGE_ACCESS_KEY": "key",
            "STORAGE_SECRET_KEY": "secret",
            "STORAGE_SCHEDULE": "0 3 29 2 *",
        }
        process = start(pipeline, tmp_path, **settings)
        url, headers = process.client.base_url.join("/v1/storage/measure"), process.client.headers
        asked = caller.submit(lambda: httpx.post(url, headers=headers, timeout=60, trust_env=False))
        silent.settimeout(30)
        connection, _address = silent.accept()  # it is in the midst of it
        assert process.stop() == 0
        connection.close()
        with suppress(httpx.HTTPError):
            assert asked.result().status_code >= 500


# measured on schedule


def test_a_run_that_was_missed_is_made_up_for_once_by_however_many_processes(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    store(data, "acme", 3 * 2**30)
    store(data, "globex", 2**29)
    due = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=90)
    settings = {
        "STORAGE_URL": f"file://{data}",
        "STORAGE_METRIC": "missed",
        "STORAGE_SCHEDULE": f"{due.minute} {due.hour} * * *",
    }
    said = f"storage is measured for {due.isoformat()}"
    with ThreadPoolExecutor(2) as both:  # at once, so that neither finds what the other counted
        processes = list(both.map(lambda name: start(pipeline, tmp_path / name, **settings), ("first", "second")))
    for process in processes:
        wait_until(lambda process=process: said in process.log(), 60, process.log)  # type: ignore[misc]
        assert process.stop() == 0
    written(pipeline)
    stamp = due.strftime("%Y-%m-%d %H:%M:%S.000")
    once = [
        {"tenant_id": "acme", "at": stamp, "quantity": "3", "source": "meterline-storage"},
        {"tenant_id": "globex", "at": stamp, "quantity": "0.5", "source": "meterline-storage"},
    ]
    assert readings(pipeline, "missed") == once
    raw = pipeline.query("SELECT reason FROM {db}.rejected_events WHERE metric = 'missed'")
    assert {row["reason"] for row in raw} <= {"duplicate"}

    # who starts again finds it done: a tenant that came since is not read as of the time before it came
    store(data, "newcomer", 2**40)

    async def again() -> Measured | None:
        async with desk(pipeline, f"file://{data}", metric="missed") as one:
            return await one.run(due, again=False)

    assert asyncio.run(again()) is None
    assert readings(pipeline, "missed") == once
