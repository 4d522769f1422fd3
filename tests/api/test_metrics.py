"""/v1/metrics over HTTP, on a real broker and a real ClickHouse: what is answered, and what the topic holds then."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from meterline_schemas import topics
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.catalog import config, problem, store
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer
from tests.services.kafka import create_topics
from tests.sinks.usage import checkpoints, events
from tests.support.cluster import produce
from tests.support.late import insert_events
from tests.support.streams import wait_until

CALLS = {"key": "api.calls:v1", "name": "API calls", "unit": "calls", "aggregation": "COUNT", "reset_period": "Daily"}


@pytest.fixture(scope="module")
def module_prefix() -> str:
    return f"metrics-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    """Tables in which the metric `calls` has totals and `storage` has nothing but a late event."""
    edge = ClickHouse(module_database, module_database.database)
    made = checkpoints(events(7, 40), 10)
    totals = [value for checkpoint in made for _key, value in checkpoint.totals if b'"calls"' in value]
    lines = [line for checkpoint in made for line in checkpoint.accepted if b'"storage"' in line]
    assert totals
    assert lines
    edge.insert("usage_totals", b"\n".join(totals))
    insert_events(edge, lines[0])
    edge.close()
    return module_database


@pytest.fixture(scope="module")
def api(
    kafka: str, module_prefix: str, database: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    create_topics(kafka, module_prefix, 2)
    process = ApiProcess(kafka, module_prefix, database, tmp_path_factory.mktemp("api"))
    process.start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


@pytest.fixture(autouse=True)
def nothing_is_left(api: ApiProcess, kafka: str, module_prefix: str) -> Iterator[None]:
    """Each test begins with an empty catalog."""
    yield
    for metric in api.client.get("/v1/metrics").json()["data"]:
        store(kafka, module_prefix).change(lambda book, key=metric["key"]: [(book.metrics[key], True)])  # type: ignore[misc]
    wait_until(lambda: api.client.get("/v1/metrics").json()["data"] == [], 30, "the catalog is empty")


def define(api: ApiProcess, **fields: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/metrics", json=fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_metric_that_is_defined_can_be_read_at_once(api: ApiProcess) -> None:
    made = define(api, **CALLS)
    assert (made["aggregation"], made["reset_period"], made["version"]) == ("count", "daily", 1)
    assert made["changed_at"]
    assert api.client.get("/v1/metrics/api.calls:v1").json() == made
    assert api.client.get("/v1/metrics").json() == {"data": [made]}
    assert api.usage(metric="api.calls:v1").status_code == 200


def test_a_change_is_a_new_version_and_no_change_is_none(api: ApiProcess) -> None:
    first = define(api, **CALLS)
    second = api.client.patch("/v1/metrics/api.calls:v1", json={"name": "Calls", "allow_negative": True}).json()
    assert second == first | {
        "name": "Calls", "allow_negative": True, "version": first["version"] + 1, "changed_at": second["changed_at"],
    }  # fmt: skip
    assert second["changed_at"] > first["changed_at"]
    assert api.client.patch("/v1/metrics/api.calls:v1", json={"name": "Calls"}).json() == second
    assert api.client.get("/v1/metrics/api.calls:v1").json() == second


def test_put_defines_and_replaces(api: ApiProcess) -> None:
    fields = {"name": "Calls", "unit": "calls", "aggregation": "count"}
    created = api.client.put("/v1/metrics/puts", json=fields)
    assert (created.status_code, created.json()["name"]) == (201, "Calls")
    replaced = api.client.put("/v1/metrics/puts", json={"unit": "calls", "aggregation": "count", "key": "puts"})
    assert (replaced.status_code, replaced.json()["name"], replaced.json()["version"]) == (200, "", 2)
    assert problem(api.client.put("/v1/metrics/puts", json={"key": "other"}), 422, "invalid_request")


def test_what_was_read_can_be_sent_back(api: ApiProcess) -> None:
    made = define(api, **CALLS)
    answer = api.client.put("/v1/metrics/api.calls:v1", json=made)
    assert (answer.status_code, answer.json()) == (200, made)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"key": "is missing"}),
        ({"key": "m", "aggregation": "median"}, {"aggregation": "choose one of 'count', 'sum'"}),
        ({"key": "a b"}, {"key": "letters, digits"}),
        ({"key": "m", "reset_period": "weekly"}, {"reset_period": "'hourly'"}),
        ({"key": "m", "aggregation": "unique_count"}, {"": "unique_by"}),
        ({"key": "m", "agregation": "sum"}, {"agregation": "fields are key, name"}),
        (
            {"key": "m", "aggregation": 7, "unit": "x" * 65, "allow_negative": "perhaps", "more": 1},
            {"aggregation": "", "unit": "64", "allow_negative": "", "more": "is not known"},
        ),
    ],
)
def test_every_mistake_is_told_and_nothing_is_written(
    api: ApiProcess, kafka: str, module_prefix: str, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    before = config(kafka, module_prefix)
    told = problem(api.client.post("/v1/metrics", content=json.dumps(fields)), 422, "invalid_request")
    assert told.keys() == wrong.keys()
    assert all(part in told[field] for field, part in wrong.items())
    assert config(kafka, module_prefix) == before


def test_a_key_is_defined_once(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    define(api, **CALLS)
    before = config(kafka, module_prefix)
    told = problem(api.client.post("/v1/metrics", json={**CALLS, "name": "other"}), 409, "conflict")
    assert "update it instead" in told["key"]
    assert config(kafka, module_prefix) == before


@pytest.mark.parametrize(
    "change", [{"aggregation": "sum"}, {"unit": "request"}, {"tenant_id": "acme"}, {"unit": "x", "aggregation": "max"}]
)
def test_what_would_change_past_numbers_is_refused_with_the_way_round(
    api: ApiProcess, kafka: str, module_prefix: str, change: dict[str, str]
) -> None:
    define(api, **CALLS)
    before = config(kafka, module_prefix)
    for answer in (
        api.client.patch("/v1/metrics/api.calls:v1", json={**change, "name": "not this either"}),
        api.client.put("/v1/metrics/api.calls:v1", json={**CALLS, **change}),
    ):
        told = problem(answer, 409, "meaning_would_change")
        assert told.keys() == change.keys()
        assert all("define a new metric" in detail for detail in told.values())
    assert config(kafka, module_prefix) == before


@pytest.mark.parametrize("key", ["calls", "storage"], ids=["totals", "a late event"])
def test_a_metric_with_usage_is_archived_instead_of_deleted(
    api: ApiProcess, kafka: str, module_prefix: str, key: str
) -> None:
    define(api, key=key)
    before = config(kafka, module_prefix)
    told = problem(api.client.delete(f"/v1/metrics/{key}"), 409, "metric_has_usage")
    assert '"retired": true' in told["key"]
    assert config(kafka, module_prefix) == before
    assert api.client.patch(f"/v1/metrics/{key}", json={"retired": True}).json()["retired"] is True
    assert [found["key"] for found in api.client.get("/v1/metrics", params={"retired": "true"}).json()["data"]] == [key]
    assert api.client.get("/v1/metrics", params={"retired": "false"}).json()["data"] == []


def test_a_metric_that_was_never_used_is_deleted_and_can_be_defined_again(api: ApiProcess) -> None:
    define(api, **CALLS)
    assert api.client.delete("/v1/metrics/api.calls:v1").status_code == 204
    for answer in (
        api.client.get("/v1/metrics/api.calls:v1"),
        api.client.patch("/v1/metrics/api.calls:v1", json={"name": "x"}),
        api.client.delete("/v1/metrics/api.calls:v1"),
    ):
        problem(answer, 404, "not_found")
    assert api.client.get("/v1/metrics").json() == {"data": []}
    assert define(api, **CALLS)["name"] == "API calls"
    assert api.client.get("/v1/metrics/api.calls:v1").status_code == 200


def test_a_metric_that_a_quota_is_of_is_not_deleted(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    define(api, **CALLS)
    quota = api.client.post("/v1/quotas", json={"metric": "api.calls:v1", "included": 5}).json()
    before = config(kafka, module_prefix)
    told = problem(api.client.delete("/v1/metrics/api.calls:v1"), 409, "in_use")
    assert "quota" in told["key"]
    assert config(kafka, module_prefix) == before
    assert api.client.delete(f"/v1/quotas/{quota['id']}").status_code == 204
    assert api.client.delete("/v1/metrics/api.calls:v1").status_code == 204


def test_without_clickhouse_nothing_is_deleted(
    api: ApiProcess, kafka: str, module_prefix: str, clickhouse_server: ClickHouseServer
) -> None:
    define(api, **CALLS)
    before = config(kafka, module_prefix)
    clickhouse_server.kill()
    problem(api.client.delete("/v1/metrics/api.calls:v1"), 503, "clickhouse_unavailable")
    assert config(kafka, module_prefix) == before
    clickhouse_server.start()
    wait_until(lambda: api.client.delete("/v1/metrics/api.calls:v1").status_code == 204, 60, "ClickHouse is back")


def test_pages_have_every_metric_once_and_in_order(api: ApiProcess) -> None:
    keys = [f"m{number}" for number in range(7)]
    for key in reversed(keys):
        define(api, key=key, tenant_id="acme" if key < "m4" else "")
    for limit in (1, 3, 7, 100):
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = api.client.get("/v1/metrics", params={"limit": limit, **cursor}).json()
            assert 1 <= len(page["data"]) <= limit
            found += [metric["key"] for metric in page["data"]]
            if "next_cursor" not in page:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == keys
    only = api.client.get("/v1/metrics", params={"tenant_id": "acme", "limit": 2, "cursor": "bTE"}).json()
    assert [metric["key"] for metric in only["data"]] == ["m2", "m3"]
    assert "next_cursor" not in only
    problem(api.client.get("/v1/metrics", params={"cursor": "a"}), 422, "invalid_cursor")
    problem(api.client.get("/v1/metrics", params={"limit": 1001}), 422, "invalid_request")


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"key": "m", "key": "n"}', '{"key": NaN}'])
def test_a_body_that_is_no_object_is_refused(api: ApiProcess, body: str) -> None:
    problem(api.client.post("/v1/metrics", content=body), 400, "invalid_json")


def test_a_body_that_is_too_large_is_refused(api: ApiProcess) -> None:
    problem(api.client.post("/v1/metrics", content='{"key": "' + "x" * 300_000), 413, "body_too_large")


def test_another_process_sees_a_change_and_deletion(
    api: ApiProcess, kafka: str, module_prefix: str, database: ClickHouseSettings, tmp_path: Path
) -> None:
    other = ApiProcess(kafka, module_prefix, database, tmp_path)
    other.start()
    made = define(api, **CALLS)
    wait_until(lambda: other.client.get("/v1/metrics").json()["data"] == [made], 30, "the other sees it")
    assert other.client.delete("/v1/metrics/api.calls:v1").status_code == 204
    wait_until(lambda: api.client.get("/v1/metrics").json()["data"] == [], 30, "and this one that it is gone")
    assert other.stop() == 0


def test_a_metric_is_not_deleted_while_events_are_on_their_way_to_clickhouse(
    api: ApiProcess, kafka: str, module_prefix: str
) -> None:
    define(api, **CALLS)
    path = "/v1/metrics/api.calls:v1"
    streams, sinks = topics.STREAM_GROUP, topics.SINK_GROUP
    for group, name in ((streams, topics.EVENTS), (sinks, topics.ACCEPTED)):
        produce(kafka, module_prefix + name, [(1, b"{}")])
        told = api.client.delete(path)
        assert (told.status_code, told.json()["code"]) == (503, "not_ready")
        assert "behind; try again" in told.json()["detail"]
        assert api.client.get(path).status_code == 200
        commit(kafka, module_prefix + group, TopicPartition(module_prefix + name, 1, 1))
    assert api.client.delete(path).status_code == 204


def commit(kafka: str, group: str, offset: TopicPartition) -> None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[offset], asynchronous=False)
    consumer.close()
