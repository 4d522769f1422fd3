"""``meterline report``: usage as the real API answers it, from a real ClickHouse."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from io import StringIO

import pytest

from meterline_deploy.catalog import apply_metrics
from meterline_deploy.commands.report import grouped
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import migrate
from tests.api.oracle import Reading, plain
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import asked, meterline
from tests.services.kafka import create_topics
from tests.support.late import insert_events
from tests.support.ports import free_port

DAYS = ("--from", "2026-11-01", "--to", "2026-11-04")
CALLS = "1234567890123456789.000000001"


def total(metric: str, hour: str, count: int, amount: str) -> bytes:
    return json.dumps(
        {
            "tenant_id": "acme",
            "metric": metric,
            "hour": hour,
            "kafka_partition": 0,
            "version": 1,
            "count": count,
            "sum": amount,
            "min": "1",
            "max": "250.5",
            "last": "7",
            "last_timestamp": hour,
            "last_id": "id",
        }
    ).encode()


TOTALS = (
    total("api_calls", "2026-11-01T05:00:00Z", 1200, CALLS),
    total("api_calls", "2026-11-01T06:00:00Z", 1, "1"),
    total("api_calls", "2026-11-03T00:00:00Z", 3, "2.5"),
    total("storage", "2026-11-02T00:00:00Z", 2, "300"),
    total("api_calls", "2026-11-04T00:00:00Z", 9, "9"),
)


@pytest.fixture(scope="module")
def environment(
    kafka: str, shared_clickhouse: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Of an API that all tests ask; those that need more write it into months of their own."""
    prefix, clickhouse = f"t{uuid.uuid4().hex[:8]}.", shared_clickhouse
    create_topics(kafka, prefix, 1)
    apply_metrics(
        KafkaSettings(kafka=kafka, topic_prefix=prefix),
        [
            Metric(key="api_calls", unit="call"),
            Metric(key="storage", unit="GB", aggregation=Aggregation.MAX),
            Metric(key="latency", unit="ms", aggregation=Aggregation.AVG),
            Metric(key="slowest", unit="ms", aggregation=Aggregation.P95),
            Metric(key="users", aggregation=Aggregation.UNIQUE_COUNT, unique_by="subject"),
            Metric(key="disk", unit="GB h", aggregation=Aggregation.TIME_WEIGHTED),
        ],
    )
    migrate(clickhouse, cluster="")
    tables = ClickHouse(clickhouse, clickhouse.database)
    tables.insert("usage_totals", b"\n".join(TOTALS))
    tables.close()
    api = ApiProcess(kafka, prefix, clickhouse, tmp_path_factory.mktemp("report"))
    api.start()
    yield {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY}
    api.stop()


def test_a_report_is_exact_in_every_format(environment: dict[str, str]) -> None:
    asked = ("report", "--tenant", "acme", *DAYS)
    done = meterline(*asked, "--format", "json", more=environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["metric"], row["value"], row["aggregation"], row["count"]) for row in rows] == [
        ("api_calls", "1234567890123456792.500000001", "sum", 1204),
        ("storage", "250.5", "max", 2),
    ]
    done = meterline(*asked, "--format", "csv", more=environment)
    (calls, storage) = csv.DictReader(StringIO(done.stdout))
    assert (calls["metric"], calls["value"], calls["unit"]) == ("api_calls", "1234567890123456792.500000001", "call")
    assert (calls["from"], calls["to"]) == ("2026-11-01T00:00:00Z", "2026-11-04T00:00:00Z")
    assert (storage["value"], storage["count"]) == ("250.5", "2")
    done = meterline(*asked, more=environment)
    assert "1,234,567,890,123,456,792.500000001" in done.stdout
    assert "1,204" in done.stdout


def test_every_aggregation_is_reported_with_its_own_number(
    environment: dict[str, str], shared_clickhouse: ClickHouseSettings
) -> None:
    march = datetime(2026, 3, 1, tzinfo=UTC)
    tables = ClickHouse(shared_clickhouse, shared_clickhouse.database)
    readings = [
        Reading("gauges", metric, march + timedelta(minutes=n), f"{n}", Decimal(n), subject=f"user:{n % 3}", late=True)
        for metric in ("latency", "slowest", "users", "disk")
        for n in range(1, 22)
    ]
    insert_events(tables, b"\n".join(reading.line() for reading in readings))
    tables.close()
    asked = ("report", "--tenant", "gauges", "--from", "2026-03-01", "--to", "2026-03-02")

    def values(*more: str) -> dict[str, str]:
        done = meterline(*asked, *more, "--format", "csv", more=environment)
        assert done.returncode == 0, done.stderr
        return {row["metric"]: row["value"] for row in csv.DictReader(StringIO(done.stdout))}

    # each of three gauges holds 1 + 4 + ... for three minutes each, and its last reading for the rest of the day
    rest = [(19, 1421), (20, 1420), (21, 1419)]
    minutes = sum(range(1, 19)) * 3 + sum(last * left for last, left in rest)
    assert values() == {
        "latency": "11", "slowest": "20", "users": "3", "disk": plain(Fraction(minutes, 60)),
    }  # fmt: skip
    one = sum(range(1, 19, 3)) * 3 + 19 * 1421
    assert values("--subject", "user:1") == {
        "latency": "10", "slowest": "19", "users": "1", "disk": plain(Fraction(one, 60)),
    }  # fmt: skip
    done = meterline(*asked, more=environment)
    assert "time_weighted" in done.stdout


def test_windows_and_a_metric_can_be_chosen(environment: dict[str, str]) -> None:
    done = meterline(
        *("report", "--tenant", "acme", *DAYS, "--window", "day", "--metric", "api_calls", "--format", "csv"),
        more=environment,
    )
    rows = list(csv.DictReader(StringIO(done.stdout)))
    assert [(row["from"], row["value"]) for row in rows] == [
        ("2026-11-01T00:00:00Z", "1234567890123456790.000000001"),
        ("2026-11-03T00:00:00Z", "2.5"),
    ]


def test_all_pages_are_read(environment: dict[str, str], shared_clickhouse: ClickHouseSettings) -> None:
    hours = [f"2026-10-{day:02d}T{hour:02d}:00:00Z" for day in range(1, 29) for hour in range(24)]
    tables = ClickHouse(shared_clickhouse, shared_clickhouse.database)
    tables.insert(
        "usage_totals", b"\n".join(total(m, hour, 1, "1") for hour in hours for m in ("api_calls", "storage"))
    )
    tables.close()
    done = meterline(
        *("report", "--tenant", "acme", "--from", "2026-10-01", "--to", "2026-11-01", "--window", "hour"),
        *("--format", "json"),
        more=environment,
    )
    rows = json.loads(done.stdout)
    assert len(rows) == 2 * len(hours) > 1000
    assert len({(row["from"], row["metric"]) for row in rows}) == len(rows)


def test_a_tenant_without_usage_is_said(environment: dict[str, str]) -> None:
    done = meterline("report", "--tenant", "nobody", *DAYS, more=environment)
    assert (done.returncode, done.stdout) == (
        0,
        "no usage of nobody in 2026-11-01T00:00:00Z to 2026-11-04T00:00:00Z\n",
    )


def test_what_the_api_refuses_is_said_in_its_words(environment: dict[str, str]) -> None:
    done = meterline("report", "--tenant", "acme", *DAYS, "--metric", "no_such", more=environment)
    assert done.returncode == 1
    assert "metric 'no_such' is not defined" in done.stderr
    done = meterline(
        *("report", "--tenant", "acme", "--from", "2026-11-01T00:30:00Z", "--to", "2026-11-02"), more=environment
    )
    assert done.returncode == 1
    assert "from must be a whole hour" in done.stderr


def test_a_wrong_key_is_said(environment: dict[str, str]) -> None:
    done = meterline("report", "--tenant", "acme", *DAYS, more={**environment, "METERLINE_API_KEY": "wrong"})
    assert done.returncode == 1
    assert "does not take the key: set METERLINE_API_KEY" in done.stderr


def test_an_api_that_is_away_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = meterline("report", "--tenant", "acme", *DAYS, more={"METERLINE_API_URL": url})
    assert done.returncode == 1
    assert f"the API at {url} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_something_else_at_the_address_is_said(clickhouse: ClickHouseSettings) -> None:
    done = meterline("report", "--tenant", "acme", *DAYS, more={"METERLINE_API_URL": clickhouse.url})
    assert done.returncode == 1
    assert "is not Meterline's API" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tenant", "acme", "--from", "yesterday", "--to", "2026-11-02"],
        ["--tenant", "acme", "--from", "2026-11-31", "--to", "2026-12-02"],
        ["--tenant", "acme", "--from", "2026-11-02", "--to", "2026-11-02"],
        ["--tenant", "acme", "--from", "2026-11-02T00:00:00", "--to", "2026-11-03"],
        ["--tenant", "", *DAYS],
        ["--tenant", "acme", *DAYS, "--window", "week"],
        DAYS,
    ],
    ids=["word", "no such day", "empty", "no zone", "no tenant", "week", "nothing"],
)
def test_wrong_options_exit_with_2(arguments: list[str]) -> None:
    done = asked("report", *arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0"),
        ("1234567.000000001", "1,234,567.000000001"),
        ("-1234", "-1,234"),
        ("-0.5", "-0.5"),
        ("999", "999"),
        ("12345678901234567890123456789.1", "12,345,678,901,234,567,890,123,456,789.1"),
    ],
)
def test_thousands_are_told_apart_without_changing_a_digit(value: str, shown: str) -> None:
    assert grouped(value) == shown
