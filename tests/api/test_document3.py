"""Requirement document 3's commands and queries by name, in its own forms, over HTTP on real servers."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_api.routes.document3 import COMMANDS, QUERIES
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.catalog import config
from tests.api.process import ApiProcess
from tests.producers.reading import events as sent_events
from tests.services.kafka import create_topics
from tests.sinks.usage import START, checkpoints, events
from tests.support.late import insert_events
from tests.support.pipeline import KEY, Pipeline
from tests.support.streams import wait_until

END = START + timedelta(hours=61)
REQUIREMENT = """
metric.define metric.update metric.delete usage.record usage.recordBatch threshold.create threshold.update
threshold.delete metric.get metric.list usage.get usage.getSummary usage.export threshold.list
"""


@pytest.fixture(scope="module")
def module_prefix() -> str:
    return f"document3-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def tables(module_database: ClickHouseSettings) -> ClickHouseSettings:
    """Tables with usage of the metrics `calls` and `storage` in them."""
    edge = ClickHouse(module_database, module_database.database)
    made = checkpoints(events(7, 300), 50)
    edge.insert("usage_totals", b"\n".join(value for checkpoint in made for _key, value in checkpoint.totals))
    insert_events(edge, b"\n".join(line for checkpoint in made for line in checkpoint.accepted))
    edge.close()
    return module_database


@pytest.fixture(scope="module")
def api(
    kafka: str, module_prefix: str, tables: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    create_topics(kafka, module_prefix, 2)
    process = ApiProcess(kafka, module_prefix, tables, tmp_path_factory.mktemp("api"), API_MAX_EVENTS="50")
    process.start()
    for key, kind in (("calls", "SUM"), ("storage", "LAST"), ("spare", "MAX")):
        call(process, "metric.define", key=key, aggregationType=kind, unit="u")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def call(api: ApiProcess, operation: str, **fields: Any) -> Any:
    """The answer of a command or query that is taken."""
    answer = api.client.post(f"/api/metering/{operation}", json=fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content, parse_float=Decimal)


def error(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """What each field is told, once the answer is found to be an error in the documents' form."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert found.keys() == {"error"}
    assert found["error"].keys() == {"code", "message", "details"}
    assert (found["error"]["code"], bool(found["error"]["message"])) == (code, True)
    return {one["field"]: one["detail"] for one in found["error"]["details"].get("errors", [])}


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Undefined(Pipeline):
    """An installation without any metric."""

    def define(self, *_metrics: str, partitions: int | None = None) -> None:
        super().define(partitions=partitions)


def test_every_command_and_query_has_its_name() -> None:
    assert {*COMMANDS, *QUERIES} == set(REQUIREMENT.split())


def test_the_example_of_the_document(kafka: str, prefix: str, clickhouse: ClickHouseSettings, tmp_path: Path) -> None:
    """Its three calls as they are written, through the whole pipeline; only the month is this one."""
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with (
        Undefined(kafka, prefix, tmp_path, clickhouse) as pipeline,
        httpx.Client(
            base_url=f"http://127.0.0.1:{pipeline._port}/api/metering/",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=30,
            trust_env=False,
        ) as client,
    ):
        pipeline.keep()
        metric = client.post(
            "metric.define",
            json={
                "key": "api_calls",
                "name": "API Calls",
                "unit": "calls",
                "aggregationType": "COUNT",
                "resetPeriod": "MONTHLY",
            },
        )
        assert metric.status_code == 200, metric.text
        assert metric.json() == {
            "id": "api_calls",
            "key": "api_calls",
            "name": "API Calls",
            "description": "",
            "unit": "calls",
            "aggregationType": "COUNT",
            "resetPeriod": "MONTHLY",
            "orgId": None,
            "retired": False,
        }
        record = client.post(
            "usage.record",
            json={"metricKey": "api_calls", "subjectType": "org", "subjectId": "org-123", "quantity": 1},
        )
        assert record.status_code == 200, record.text
        found = record.json()
        assert uuid.UUID(found.pop("id"))
        assert abs(datetime.fromisoformat(found.pop("timestamp")) - now) < timedelta(minutes=1)
        assert found == {
            "metricKey": "api_calls", "subjectType": "org", "subjectId": "org-123", "quantity": 1, "metadata": {},
        }  # fmt: skip
        summary = {
            "metricKey": "api_calls",
            "subjectType": "org",
            "subjectId": "org-123",
            "periodType": "MONTHLY",
            "periodStart": month.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        wait_until(
            lambda: client.post("usage.getSummary", json=summary).json().get("recordCount") == 1, 60, "it is counted"
        )
        answer = client.post("usage.getSummary", json=summary).json()
        assert answer.pop("id").startswith("sum_")
        assert answer == {
            **summary,
            "periodStart": instant(month),
            "periodEnd": instant((month + timedelta(days=32)).replace(day=1)),
            "totalQuantity": 1,
            "recordCount": 1,
        }
        # an event on its way is usage too, and where there is none a metric is deleted
        for key in ("sent", "spare"):
            assert client.post("metric.define", json={"key": key, "name": key}).status_code == 200
        sent = {"metricKey": "sent", "subjectType": "org", "subjectId": "org-123", "quantity": 1}
        assert client.post("usage.record", json=sent).status_code == 200
        assert client.post("metric.delete", json={"id": "sent"}).status_code in (409, 503)
        wait_until(lambda: client.post("metric.delete", json={"id": "sent"}).status_code == 409, 60, "it has usage")
        wait_until(lambda: client.post("metric.delete", json={"id": "spare"}).status_code == 200, 60, "it has none")


# metrics


def test_a_metric_is_defined_read_changed_and_deleted_by_name(api: ApiProcess) -> None:
    made = call(
        api, "metric.define",
        key="seats", name="Seats", description="d", unit="seat", aggregationType="Max", resetPeriod="daily",
        orgId="org-1",
    )  # fmt: skip
    assert (made["aggregationType"], made["resetPeriod"], made["orgId"]) == ("MAX", "DAILY", "org-1")
    assert call(api, "metric.get", id="seats") == call(api, "metric.get", key="seats") == made
    assert api.client.get("/api/metering/metric.get", params={"key": "seats"}).json() == made
    assert call(api, "metric.list", orgId="org-1") == {"metrics": [made]}
    assert {metric["key"] for metric in call(api, "metric.list")["metrics"]} >= {"seats", "calls", "storage"}
    assert call(api, "metric.update", id="seats", name="Chairs") == {**made, "name": "Chairs"}
    assert call(api, "metric.delete", id="seats")["deleted"] is True
    error(api.client.post("/api/metering/metric.get", json={"key": "seats"}), 404, "not_found")


@pytest.mark.parametrize(
    ("operation", "fields", "status", "code", "wrong"),
    [
        ("metric.define", {"key": "calls"}, 409, "conflict", {"key": "update it instead"}),
        (
            "metric.define",
            {"key": "a b", "aggregationType": "MEDIAN", "resetPeriod": "WEEKLY"},
            422,
            "invalid_request",
            {"key": "letters", "aggregationType": "'unique_count'", "resetPeriod": "'monthly'"},
        ),
        ("metric.define", {"key": "m", "aggregation": "sum"}, 422, "invalid_request", {"aggregation": "not known"}),
        ("metric.update", {"name": "x"}, 422, "invalid_request", {"id": "is missing"}),
        ("metric.update", {"id": "none", "name": "x"}, 404, "not_found", {"": "there is no metric"}),
        (
            "metric.update",
            {"id": "calls", "aggregationType": "MAX"},
            409,
            "meaning_would_change",
            {"aggregationType": "define a new metric"},
        ),
        ("metric.delete", {"id": "calls"}, 409, "metric_has_usage", {"key": "archive it instead"}),
        (
            "threshold.create",
            {"metricKey": "calls", "subjectType": "org", "subjectId": "o", "threshold": 0},
            422,
            "invalid_request",
            {"threshold": "above 0"},
        ),
        (
            "threshold.create",
            {"metricKey": "none", "subjectType": "org", "subjectId": "o", "threshold": 1},
            422,
            "invalid_request",
            {"metricKey": "define the metric first"},
        ),
        (
            "threshold.create",
            {"metricKey": "calls", "subjectType": "team", "subjectId": "o", "threshold": 1},
            422,
            "invalid_request",
            {"subjectType": "org, user, project"},
        ),
        (
            "threshold.create",
            {"metricKey": "calls", "subjectType": "user", "subjectId": "u", "threshold": 1},
            422,
            "invalid_request",
            {"orgId": "is missing"},
        ),
        ("threshold.create", {"subjectType": "org", "subjectId": "o"}, 422, "invalid_request", {"threshold": ""}),
        ("threshold.update", {"id": "none", "threshold": 1}, 404, "not_found", {"": "there is no threshold"}),
        ("threshold.delete", {"id": "none"}, 404, "not_found", {"": "there is no threshold"}),
        ("usage.getSummary", {"metricKey": "calls"}, 422, "invalid_request", {"periodType": "is missing"}),
        (
            "usage.getSummary",
            {"metricKey": "calls", "periodType": "YEARLY", "periodStart": "yesterday"},
            422,
            "invalid_request",
            {"periodType": "'hourly'", "periodStart": ""},
        ),
        (
            "usage.getSummary",
            {"metricKey": "none", "subjectType": "org", "subjectId": "o", "periodType": "DAILY"},
            404,
            "unknown_metric",
            {},
        ),
        *(
            (
                "usage.getSummary",
                {"metricKey": "calls", "subjectType": "org", "subjectId": "o", "periodType": period, "periodStart": at},
                422,
                "invalid_range",
                {},
            )
            for period in ("HOURLY", "DAILY", "MONTHLY")
            for at in ("9999-12-31T23:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z")
        ),
        ("usage.get", {}, 422, "invalid_request", {"subjectType": "is missing"}),
        ("usage.export", {"from": "2026-01-01T00:30:00Z"}, 422, "invalid_range", {}),
        ("usage.forget", {}, 404, "not_found", {}),
    ],
)
def test_a_wrong_call_is_told_by_the_documents_names_and_changes_nothing(
    api: ApiProcess,
    kafka: str,
    module_prefix: str,
    operation: str,
    fields: dict[str, Any],
    status: int,
    code: str,
    wrong: dict[str, str],
) -> None:
    before = config(kafka, module_prefix)
    told = error(api.client.post(f"/api/metering/{operation}", json=fields), status, code)
    assert told.keys() == wrong.keys()
    assert all(part in told[field] for field, part in wrong.items()), told
    assert config(kafka, module_prefix) == before


def test_errors_of_every_layer_have_the_documents_form(api: ApiProcess) -> None:
    error(api.client.post("/api/metering/metric.define", content="{"), 400, "invalid_json")
    error(api.client.post("/api/metering/usage.record", content="{"), 400, "invalid_json")
    error(api.client.post("/api/metering/usage.recordBatch", content="{}"), 400, "invalid_json")
    error(api.client.get("/api/metering/metric.delete"), 405, "method_not_allowed")
    error(api.client.get("/api/metering/none"), 404, "not_found")
    refused = api.client.post("/api/metering/metric.list", headers={"Authorization": "Bearer wrong"})
    error(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")


# thresholds


def test_thresholds_are_absolute_and_of_orgs_users_and_projects(api: ApiProcess) -> None:
    made = call(
        api, "threshold.create",
        metricKey="spare", subjectType="ORG", subjectId="org-9", threshold=10000, action="BLOCK",
        notifyEmails=["ops@example.com"],
    )  # fmt: skip
    assert made == {
        "id": made["id"],
        "metricKey": "spare",
        "subjectType": "org",
        "subjectId": "org-9",
        "threshold": 10000,
        "action": "BLOCK",
        "notifyEmails": ["ops@example.com"],
    }
    native = api.client.get(f"/v1/thresholds/{made['id']}").json()
    assert (native["tenant_id"], native["subject"], native["amount"]) == ("org-9", "", "10000")
    assert native["steps"] == ["80", "100"]
    user = call(
        api, "threshold.create", metricKey="spare", subjectType="user", subjectId="u-7", orgId="org-9", threshold=0.1
    )
    assert (user["subjectType"], user["subjectId"], user["orgId"], user["action"]) == ("user", "u-7", "org-9", "ALERT")
    assert user["threshold"] == Decimal("0.1")
    assert api.client.get(f"/v1/thresholds/{user['id']}").json()["subject"] == "user:u-7"

    def found(**query: str) -> set[str]:
        return {threshold["id"] for threshold in call(api, "threshold.list", **query)["thresholds"]}

    assert found(metricKey="spare") == {made["id"], user["id"]} == found(orgId="org-9")
    assert found(subjectType="org", subjectId="org-9") == {made["id"]}
    assert found(subjectType="user", subjectId="u-7", orgId="org-9") == {user["id"]}
    assert found(metricKey="calls") == set()
    changed = call(api, "threshold.update", id=made["id"], threshold=20000, action="none")
    assert (changed["threshold"], changed["action"], changed["notifyEmails"]) == (20000, "NONE", ["ops@example.com"])
    for id in (made["id"], user["id"]):
        assert call(api, "threshold.delete", id=id) == {"id": id, "deleted": True}
    assert found() == set()


def test_a_threshold_in_percent_of_a_quota_is_answered_with_what_the_quota_includes(api: ApiProcess) -> None:
    quota = api.client.post("/v1/quotas", json={"metric": "spare", "tenant_id": "o", "included": "12.5"}).json()
    made = api.client.post("/v1/thresholds", json={"metric": "spare", "tenant_id": "o"}).json()
    (found,) = call(api, "threshold.list", orgId="o")["thresholds"]
    assert (found["id"], found["threshold"]) == (made["id"], Decimal("12.5"))
    for path in (f"/v1/thresholds/{made['id']}", f"/v1/quotas/{quota['id']}"):
        assert api.client.delete(path).status_code == 204


# recording


def test_what_is_recorded_is_an_event_of_the_orgs_tenant(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    fields = {"metricKey": "calls", "subjectType": "org", "subjectId": "rec-1"}
    at = datetime.now(UTC).replace(microsecond=0)
    text = json.dumps({**fields, "id": "r-1", "timestamp": at.isoformat(), "metadata": {"region": "eu"}})
    answer = api.client.post(
        "/api/metering/usage.record", content=text[:-1] + ', "quantity": 123456789012345678.000000001}'
    )
    assert answer.status_code == 200, answer.text
    assert '"quantity":123456789012345678.000000001,' in answer.text
    assert answer.json()["metadata"] == {"region": "eu"}
    user = call(
        api, "usage.record", metricKey="calls", subjectType="user", subjectId="u-1", orgId="rec-1", quantity="2.50"
    )
    assert (user["subjectType"], user["subjectId"], user["orgId"]) == ("user", "u-1", "rec-1")
    found = {event["id"]: event for event in sent_events(kafka, module_prefix) if event["tenant_id"] == "rec-1"}
    assert found.keys() == {"r-1", user["id"]}
    assert found["r-1"] == {
        "id": "r-1",
        "tenant_id": "rec-1",
        "metric": "calls",
        "quantity": "123456789012345678.000000001",
        "timestamp": found["r-1"]["timestamp"],
        "properties": {"region": "eu"},
    }
    assert datetime.fromisoformat(found["r-1"]["timestamp"]) == at
    assert (found[user["id"]]["subject"], found[user["id"]]["quantity"]) == ("user:u-1", "2.5")


def test_each_request_is_one_event_unless_it_has_an_idempotency_key(api: ApiProcess) -> None:
    fields = {"metricKey": "calls", "subjectType": "org", "subjectId": "rec-2", "quantity": 1}

    def record(**headers: str) -> str:
        answer = api.client.post("/api/metering/usage.record", json=fields, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    assert record() != record()
    assert record(**{"Idempotency-Key": "k"}) == record(**{"Idempotency-Key": "k"}) != record()


def test_a_batch_is_answered_record_by_record(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    good = {"metricKey": "calls", "subjectType": "org", "subjectId": "rec-3", "quantity": 1}
    records = [{**good, "id": "b-1"}, {**good, "subjectType": "user"}, {**good, "quantity": "x"}, {**good, "more": 1}]
    for body in (records, {"records": records}):
        answer = api.client.post("/api/metering/usage.recordBatch", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["accepted"], found["invalid"]) == (1, 3)
        assert [record["status"] for record in found["records"]] == ["accepted", "invalid", "invalid", "invalid"]
        assert "orgId" in found["records"][1]["detail"]
    assert {e["id"] for e in sent_events(kafka, module_prefix) if e["tenant_id"] == "rec-3"} == {"b-1"}


def test_what_can_never_count_is_refused(api: ApiProcess) -> None:
    good = {"metricKey": "calls", "subjectType": "org", "subjectId": "o", "quantity": 1}
    old = "2022-01-01T00:00:00Z"
    for wrong in ({"quantity": "x"}, {"timestamp": old}, {"metadata": [1]}, {"subjectId": ""}, {"subjectType": "x"}):
        error(api.client.post("/api/metering/usage.record", json={**good, **wrong}), 400, "invalid_events")
    error(api.client.post("/api/metering/usage.recordBatch", json=[good] * 51), 413, "too_many_events")
    error(api.client.post("/api/metering/usage.recordBatch", json=[]), 400, "no_events")


# usage


def native(api: ApiProcess, **query: Any) -> list[dict[str, Any]]:
    answer = api.usage(start=instant(START), end=instant(END), limit=10_000, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_usage_of_a_subject_is_that_of_v1(api: ApiProcess) -> None:
    found = call(
        api, "usage.get", subjectType="org", subjectId="tenant-1", **{"from": instant(START), "to": instant(END)}
    )
    wanted = {row["metric"]: (Decimal(row["value"]), row["count"]) for row in native(api, tenant_id="tenant-1")}
    assert {row["metricKey"]: (Decimal(row["totalQuantity"]), row["recordCount"]) for row in found["usage"]} == wanted
    assert len(wanted) == 2
    assert (found["periodStart"], found["periodEnd"]) == (instant(START), instant(END))


@pytest.mark.parametrize(("kind", "window"), [("HOURLY", "hour"), ("daily", "day"), ("Monthly", "month")])
def test_a_summary_is_of_the_period_that_its_start_lies_in(api: ApiProcess, kind: str, window: str) -> None:
    row = native(api, tenant_id="tenant-2", metric="calls", window="hour")[0]
    at = datetime.fromisoformat(row["from"]) + timedelta(minutes=20)
    whole = {
        "hour": at.replace(minute=0),
        "day": at.replace(hour=0, minute=0),
        "month": at.replace(day=1, hour=0, minute=0),
    }[window]
    fields = {"metricKey": "calls", "subjectType": "org", "subjectId": "tenant-2", "periodType": kind}
    found = call(api, "usage.getSummary", **fields, periodStart=at.isoformat())
    again = call(api, "usage.getSummary", **fields, periodStart=instant(whole))
    assert found == again
    assert (found["periodType"], found["periodStart"]) == (kind.upper(), instant(whole))
    end = datetime.fromisoformat(found["periodEnd"])
    (wanted,) = api.usage(start=instant(whole), end=instant(end), tenant_id="tenant-2", metric="calls").json()["data"]
    assert (Decimal(found["totalQuantity"]), found["recordCount"]) == (Decimal(wanted["value"]), wanted["count"])


def test_nothing_used_is_zero_or_of_an_extreme_null(api: ApiProcess) -> None:
    fields = {"subjectType": "project", "subjectId": "p", "orgId": "o", "periodType": "MONTHLY"}
    nothing = call(api, "usage.getSummary", metricKey="calls", **fields)
    assert (nothing["totalQuantity"], nothing["recordCount"], nothing["orgId"]) == (0, 0, "o")
    assert call(api, "usage.getSummary", metricKey="spare", **fields)["totalQuantity"] is None


def test_numbers_are_json_numbers_with_every_digit(api: ApiProcess) -> None:
    query = {"metricKey": "calls", "subjectType": "org", "subjectId": "tenant-1", "periodType": "monthly"}
    answer = api.client.get("/api/metering/usage.getSummary", params={**query, "periodStart": instant(START)})
    start, end = answer.json()["periodStart"], answer.json()["periodEnd"]
    (row,) = api.usage(start=start, end=end, tenant_id="tenant-1", metric="calls").json()["data"]
    assert f'"totalQuantity":{row["value"]},' in answer.text


@pytest.mark.parametrize("query", [{}, {"orgId": "tenant-1"}, {"subjectType": "org", "subjectId": "tenant-1"}])
def test_an_export_has_every_row_of_v1(api: ApiProcess, query: dict[str, str]) -> None:
    asked = {"from": instant(START), "to": instant(END), "periodType": "HOURLY", **query}
    answer = api.client.get("/api/metering/usage.export", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line, parse_float=Decimal) for line in answer.text.splitlines()]
    only = {"tenant_id": "tenant-1"} if query else {}
    wanted = [
        (row["from"], row["metric"], row["tenant_id"], Decimal(row["value"]), row["count"])
        for row in native(api, window="hour", group_by="tenant_id", **only)
    ]
    assert [
        (row["periodStart"], row["metricKey"], row["subjectId"], Decimal(row["totalQuantity"]), row["recordCount"])
        for row in rows
    ] == wanted
    assert len({row["id"] for row in rows}) == len(rows)
    table = api.client.post("/api/metering/usage.export", json={**asked, "format": "CSV"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(table.text)))
    assert [(row["id"], row["totalQuantity"]) for row in found] == [
        (row["id"], format(Decimal(row["totalQuantity"]), "f")) for row in rows
    ]
