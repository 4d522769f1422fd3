"""POST /v1/usage/aggregate: one period computed again over a real ClickHouse, and told on a real topic."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from meterline_schemas.catalog import Metric
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.oracle import Reading, totals, utc
from tests.api.process import ApiProcess
from tests.services.kafka import Broker, create_topics
from tests.support.cluster import producer, read_all
from tests.support.late import insert_events
from tests.support.streams import wait_until

PARTITIONS = 3
DAY = utc(2026, 11, 1)


def reading(tenant_id: str, metric: str, hours: float, quantity: str, *, late: bool = False) -> Reading:
    at = DAY + timedelta(hours=hours)
    return Reading(tenant_id, metric, at, f"{hours}", Decimal(quantity), late=late, offset=int(hours * 100) + 9000)


ON_TIME = [
    reading(tenant, metric, hours, quantity)
    for tenant in ("acme", "beta")
    for metric in ("orders", "calls")
    for hours, quantity in ((-0.5, "7"), (0, "2.5"), (3.25, "-1"), (23.99, "3"), (24, "9"))
]
LATE = [reading("acme", "orders", 5, "4", late=True), reading("gamma", "calls", 5, "4", late=True)]
PREFIX = f"aggregate-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> str:
    """The one that goes away; another module may have left it so."""
    broker.restore()
    return broker.bootstrap


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    """Tables where everything is in order."""
    tables = ClickHouse(module_database, module_database.database)
    insert_events(tables, b"\n".join(event.line() for event in (*ON_TIME, *LATE, *ON_TIME)))
    tables.insert("usage_totals", b"\n".join(totals(ON_TIME)))
    tables.close()
    return module_database


@pytest.fixture(scope="module")
def api(kafka: str, database: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    create_topics(kafka, PREFIX, PARTITIONS)
    sender = producer(kafka)
    for key in ("orders", "calls"):
        metric = Metric(key=key)
        sender.produce(PREFIX + "meterline.config", metric.encode(), key=metric.record_key)
    assert sender.flush(30) == 0
    process = ApiProcess(kafka, PREFIX, database, tmp_path_factory.mktemp("api"))
    process.start()
    wait_until(lambda: process.usage(metric="calls").status_code == 200, 30, "the metrics are known")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def again(api: ApiProcess, period_type: str = "daily", period_start: str = "2026-11-01T00:00:00Z", **more: Any) -> Any:
    answer = asked(api, period_type=period_type, period_start=period_start, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(api: ApiProcess, **body: Any) -> httpx.Response:
    return api.client.post("/v1/usage/aggregate", json=body)


def told(kafka: str) -> dict[str, tuple[int, Any]]:
    """Every notification by its id, with its partition."""
    found = {}
    for message in read_all(kafka, PREFIX + "meterline.notifications"):
        value = json.loads(message.value())
        found[value["id"]] = (message.partition(), value)
    return found


def test_where_all_is_in_order_nothing_differs(api: ApiProcess) -> None:
    for period_type, start, compared in (
        ("daily", "2026-11-01T00:00:00Z", 5),
        ("DAILY", "2026-11-01T01:00:00+01:00", 5),
        ("hourly", "2026-11-01T05:00:00Z", 2),
        ("Monthly", "2026-11-01T00:00:00Z", 5),
        ("monthly", "2026-10-01T00:00:00Z", 4),
        ("hourly", "2026-11-01T06:00:00Z", 0),
    ):
        answer = again(api, period_type, start)
        assert (answer["compared"], answer["different"], answer["differences"]) == (compared, 0, []), period_type


def test_it_can_be_asked_of_one_tenant_or_metric(api: ApiProcess) -> None:
    assert again(api, tenant_id="acme")["compared"] == 2
    assert again(api, metric="calls")["compared"] == 3
    assert again(api, metric="calls", tenant_id="gamma")["compared"] == 1
    assert again(api, tenant_id="'; DROP TABLE usage_totals; --")["compared"] == 0


def test_that_it_was_done_is_told_once_for_each_time(api: ApiProcess, kafka: str) -> None:
    first, second = again(api), again(api)
    assert first["notification_id"] != second["notification_id"]
    found = told(kafka)
    partition, value = found[first["notification_id"]]
    assert partition == partition_of("", PARTITIONS)
    assert (value["type"], value["tenant_id"]) == ("usage.aggregated", "")
    assert value["data"] == {
        "period_type": "daily",
        "period_start": "2026-11-01T00:00:00Z",
        "period_end": "2026-11-02T00:00:00Z",
        "totals": 5,
        "differences": [],
    }
    assert datetime.fromisoformat(value["timestamp"]) > datetime.fromisoformat("2026-01-01T00:00:00Z")


def test_each_difference_is_named_and_nothing_is_put_right(
    api: ApiProcess, database: ClickHouseSettings, kafka: str
) -> None:
    day = "2026-12-01T00:00:00Z"
    at = utc(2026, 12, 1, 4)
    events = [Reading("t", metric, at, "a", Decimal(5)) for metric in ("equal", "more", "sum", "raw only")]
    changed: dict[str, dict[str, Any]] = {"more": {"count": 2}, "sum": {"sum": "5.000000001"}}
    rows: list[dict[str, Any]] = [
        {**json.loads(row), **changed.get(json.loads(row)["metric"], {})} for row in totals(events[:3])
    ]
    rows.append({**rows[0], "metric": "totals only"})
    tables = ClickHouse(database, database.database)
    insert_events(tables, b"\n".join(event.line() for event in events))
    tables.insert("usage_totals", "\n".join(map(json.dumps, rows)).encode())
    five = {"count": 1, "sum": "5", "min": "5", "max": "5", "last": "5"}
    none = {"count": 0, "sum": "", "min": "", "max": "", "last": ""}
    for _ in range(2):
        answer = again(api, period_start=day)
        assert (answer["compared"], answer["different"]) == (5, 4)
        assert answer["differences"] == [
            {"tenant_id": "t", "metric": "more", "totals": {**five, "count": 2}, "events": five},
            {"tenant_id": "t", "metric": "raw only", "totals": none, "events": five},
            {"tenant_id": "t", "metric": "sum", "totals": {**five, "sum": "5.000000001"}, "events": five},
            {"tenant_id": "t", "metric": "totals only", "totals": five, "events": none},
        ]
    assert told(kafka)[answer["notification_id"]][1]["data"]["differences"] == answer["differences"]
    many = [{**rows[0], "tenant_id": f"{n:03}", "hour": "2026-12-03T00:00:00Z"} for n in range(250)]
    tables.insert("usage_totals", "\n".join(map(json.dumps, many)).encode())
    tables.close()
    answer = again(api, period_start="2026-12-03T00:00:00Z")
    assert (answer["compared"], answer["different"]) == (250, 250)
    assert [one["tenant_id"] for one in answer["differences"]] == [f"{n:03}" for n in range(100)]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (
            {"period_start": "2026-11-01T00:30:00Z"},
            "period_start",
            "a day begins at 00:00 UTC, so write 2026-11-01T00:",
        ),
        ({"period_start": "2026-11-01T00:00:00+01:00"}, "period_start", "write 2026-10-31T00:00:00Z"),
        ({"period_start": "2026-11-02T00:00:00Z", "period_type": "monthly"}, "period_start", "write 2026-11-01T00:"),
        ({"period_start": "2026-11-02T00:00:00.001Z", "period_type": "hourly"}, "period_start", "an hour begins"),
        ({"period_start": "2026-11-01T00:00:00"}, "period_start", "a time with its zone"),
        ({"period_start": "0001-01-01T00:00:00+12:00"}, "period_start", "between 1970 and 2105"),
        ({"period_start": "9999-12-31T23:00:00-12:00"}, "period_start", "between 1970 and 2105"),
        ({"period_start": "yesterday"}, "period_start", "a time with its zone"),
        ({"period_type": "weekly"}, "period_type", "'hourly', 'daily' or 'monthly'"),
        ({"period_type": 3}, "period_type", "'hourly', 'daily' or 'monthly'"),
        ({"tenant_id": ""}, "tenant_id", "at least 1"),
        ({"subject": "user:1"}, "subject", "is not known"),
    ],
)
def test_what_is_no_whole_period_is_refused_by_field(
    api: ApiProcess, kafka: str, body: dict[str, Any], field: str, says: str
) -> None:
    before = told(kafka)
    answer = asked(api, **{"period_type": "daily", "period_start": "2026-11-01T00:00:00Z", **body})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    (problem,) = answer.json()["errors"]
    assert problem["field"] == field
    assert says in problem["detail"]
    assert told(kafka) == before


def test_a_metric_that_is_not_defined_is_a_404(api: ApiProcess) -> None:
    answer = asked(api, period_type="daily", period_start="2026-11-01T00:00:00Z", metric="orderz")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_metric")


def test_without_a_key_it_is_a_401(api: ApiProcess) -> None:
    answer = httpx.post(api.client.base_url.join("/v1/usage/aggregate"), json={}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_where_nobody_can_be_told_it_is_a_503_that_says_what_was_found(api: ApiProcess, broker: Broker) -> None:
    broker.kill()
    answer = asked(api, period_type="daily", period_start="2026-11-01T00:00:00Z")
    assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
    assert "5 were compared and 0 differ, but nobody could be told" in answer.json()["detail"]
    broker.start()
    wait_until(
        lambda: asked(api, period_type="daily", period_start="2026-11-01T00:00:00Z").status_code == 200, 60, "back"
    )
