"""OpenMeter's clients, unchanged, against a whole installation: what they send counts, what they ask is answered."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from corehttp.exceptions import HttpResponseError
from openmeter import Client
from openmeter.aio import Client as AsyncClient
from openmeter.models import Event, MeterQueryRequest

from meterline_api.openmeter.meters import meters_of
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from tests.languages.test_producers import tool
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import KEY, Pipeline
from tests.support.streams import wait_until

METERS: list[dict[str, Any]] = [
    {
        "slug": "tokens_total",
        "description": "AI Token Usage",
        "eventType": "prompt",
        "aggregation": "SUM",
        "valueProperty": "$.tokens",
        "groupBy": {"model": "$.model", "type": "$.kind.type"},
    },
    {"slug": "prompts", "eventType": "prompt", "aggregation": "COUNT", "groupBy": {"model": "$.model"}},
    {"slug": "users", "eventType": "prompt", "aggregation": "UNIQUE_COUNT", "valueProperty": "$.user"},
    {"slug": "tokens_peak", "eventType": "prompt", "aggregation": "MAX", "valueProperty": "$.tokens"},
    {"slug": "tokens_least", "eventType": "prompt", "aggregation": "MIN", "valueProperty": "$.tokens"},
    {"slug": "tokens_mean", "eventType": "prompt", "aggregation": "AVG", "valueProperty": "$.tokens"},
    {"slug": "tokens_latest", "eventType": "prompt", "aggregation": "LATEST", "valueProperty": "$.tokens"},
]
CLICKS: list[dict[str, Any]] = [
    {"slug": "clicks", "eventType": "click", "aggregation": "COUNT", "groupBy": {"page": "$.page"}},
    {"slug": "click_ms", "eventType": "click", "aggregation": "SUM", "valueProperty": "$.ms"},
]
TWICE: list[dict[str, Any]] = [
    {"slug": "other", "eventType": "other", "aggregation": "SUM", "valueProperty": "$.n"},
    {"slug": "undefined_yet", "eventType": "other", "aggregation": "COUNT"},
]
CLIENT = Path(__file__).parents[1] / "languages" / "openmeter"
SUBJECTS = ["customer-1", "customer-2", "customer-3"]
MODELS = ["gpt-4o", 'gpt\'4 "mini", x']
NOW = datetime.now(UTC)
START = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
END = NOW.replace(minute=0, second=0, microsecond=0)


class Moved(Pipeline):
    """An installation that knows the meters, and the metrics that they are."""

    def environment(self, name: str, more: Mapping[str, str]) -> dict[str, str]:
        file = self._folder / "meters.json"
        file.write_text(json.dumps(METERS + CLICKS + TWICE))
        return {**super().environment(name, more), "METERLINE_API_OPENMETER_METERS": str(file)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"


@pytest.fixture(scope="module")
def moved(kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    name = f"openmeter{uuid.uuid4().hex[:8]}"
    tables: ClickHouseSettings = clickhouse_server.settings(name)
    with Moved(kafka, name + ".", tmp_path_factory.mktemp("openmeter"), tables, partitions=2) as pipeline:
        pipeline.configure(
            *(meter.metric for meter in meters_of(METERS + CLICKS).by_slug.values()),
            Metric(key="calls", group_by=("region",), name="Calls"),
            Metric(key="other", aggregation=Aggregation.MAX),
            Metric(key="old", retired=True),
            Metric(key="theirs", tenant_id="customer-2"),
            Metric(key="p95_ms", aggregation=Aggregation.P95),
        )
        pipeline.keep()
        yield pipeline
    execute(tables, f"DROP DATABASE {name} SYNC")


@pytest.fixture(scope="module")
def http(moved: Moved) -> Iterator[httpx.Client]:
    """Requests as no SDK makes them."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=moved.url, headers=headers, timeout=30, trust_env=False) as client:
        wait_until(
            lambda: len(client.get("/api/v1/meters").json()) >= len(METERS) + len(CLICKS) + 3, 30, "the catalog is read"
        )
        yield client


@pytest.fixture(scope="module")
def client(moved: Moved, http: httpx.Client) -> Iterator[Client]:
    """The published SDK."""
    with Client(endpoint=moved.url, token=KEY, retry_total=0) as found:
        yield found


def prompt(chance: random.Random, number: int) -> dict[str, Any]:
    """A CloudEvent such as an application sends."""
    data: dict[str, Any] = {
        "tokens": chance.choice([chance.randint(1, 5000), chance.random(), str(chance.randint(1, 9)), 0.1 + 0.2]),
        "model": chance.choice(MODELS),
        "kind": {"type": chance.choice(["input", "output"])},
        "user": f"u-{chance.randint(1, 7)}",
        "trace": {"nobody": ["asks", None]},
    }
    if number % 9 == 0:
        del data["tokens"]
    at = START + timedelta(milliseconds=chance.randrange(30 * 3_600_000))
    return {
        "specversion": "1.0",
        "id": f"e-{number // 2}",  # two sources use the same ids
        "source": f"app-{number % 2}",
        "type": "prompt",
        "subject": chance.choice(SUBJECTS),
        "time": at,
        "data": data,
    }


@pytest.fixture(scope="module")
def sent(moved: Moved, client: Client, http: httpx.Client) -> list[dict[str, Any]]:
    """What was sent, in every way that the clients have, some of it twice; it has been counted."""
    chance = random.Random(7)
    events = [prompt(chance, number) for number in range(120)]
    one, batch, as_json, of_async, structured, binary = (events[n * 20 : n * 20 + 20] for n in range(6))
    for event in one:
        client.events.ingest_event(Event(**event))
    for _again in range(2):
        client.events.ingest_events([Event(**event) for event in batch])
    client.events.ingest_events_json([Event(**event) for event in as_json[:-1]])
    client.events.ingest_events_json(Event(**as_json[-1]))

    async def send() -> None:
        async with AsyncClient(endpoint=moved.url, token=KEY) as asynchronous:
            await asynchronous.events.ingest_event(Event(**of_async[0]))
            await asynchronous.events.ingest_events([Event(**event) for event in of_async])

    asyncio.run(send())
    for event, convert in [*((e, to_structured) for e in structured), *((e, to_binary) for e in binary)]:
        attributes = {name: value for name, value in event.items() if name != "data"}
        headers, body = convert(CloudEvent({**attributes, "time": event["time"].isoformat()}, event["data"]))
        answer = http.post("/api/v1/events", headers=headers, content=body)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    expected = sum(len(METERS) if "tokens" in event["data"] else 2 for event in events)
    counted = "SELECT count() AS n FROM {db}.usage_events WHERE startsWith(source, 'app-')"
    wait_until(lambda: moved.query(counted)[0]["n"] == expected, 90, lambda: f"{expected}: {moved.query(counted)}")
    return events


def value_of(slug: str, events: list[dict[str, Any]]) -> Decimal:
    """The number of a meter, counted by this test alone."""
    if slug == "prompts":
        return Decimal(len(events))
    if slug == "users":
        return Decimal(len({(event["subject"], event["data"]["user"]) for event in events}))
    values = [tokens(event) for event in events]
    match slug:
        case "tokens_total":
            return sum(values, Decimal(0))
        case "tokens_peak":
            return max(values)
        case "tokens_least":
            return min(values)
        case "tokens_mean":
            return (sum(values, Decimal(0)) / len(values)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN).normalize()
    return tokens(max(events, key=lambda event: event["time"]))


def tokens(event: dict[str, Any]) -> Decimal:
    return Decimal(str(event["data"]["tokens"])).quantize(Decimal("1e-9"), ROUND_HALF_EVEN).normalize()


def recount(
    slug: str,
    sent: list[dict[str, Any]],
    key: Callable[[dict[str, Any]], Any],
    keep: Callable[[dict[str, Any]], bool] = lambda _event: True,
) -> dict[Any, Decimal]:
    """The meter's number for each group."""
    found = defaultdict(list)
    for event in sent:
        if keep(event) and (slug in ("prompts", "users") or "tokens" in event["data"]):
            found[key(event)].append(event)
    return {group: value_of(slug, events) for group, events in found.items()}


def exact(answer: httpx.Response) -> Any:
    """The JSON of an answer; no number in it passes through a float."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content, parse_float=Decimal, parse_int=Decimal)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A problem in OpenMeter's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= found.keys()
    assert (found["status"], found["code"]) == (status, code)
    assert found["instance"] == answer.url.path
    return found


# events in


def event(**more: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {
        "specversion": "1.0", "id": uuid.uuid4().hex, "source": "s", "type": "calls", "subject": "customer-9",
        "time": at, **more,
    }  # fmt: skip


def ingest(http: httpx.Client, body: Any, media_type: str = "application/json", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post("/api/v1/events", content=content, headers={"Content-Type": media_type, **headers})


@pytest.mark.parametrize(
    "media_type", ["application/cloudevents+json; charset=UTF-8", "application/json", "application/cloudevents+json"]
)
def test_an_event_is_taken_under_each_media_type(http: httpx.Client, media_type: str) -> None:
    for body in (event(), event(data=None), event(data={"quantity": "1.5"}, dataschema=None, time=None)):
        assert ingest(http, body, media_type).status_code == 204
    assert ingest(http, [], "application/cloudevents-batch+json").status_code == 204


def test_what_can_never_count_is_a_400_that_names_the_event_and_takes_the_others(
    http: httpx.Client, moved: Moved
) -> None:
    mark = uuid.uuid4().hex
    good = event(subject=mark)
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    body = [good, event(time=old), event(subject=""), event(type="click", subject=mark, data={"ms": "many"})]
    found = problem(ingest(http, body, "application/cloudevents-batch+json"), 400, "invalid_events")
    assert "3 of 4 events invalid" in found["detail"]
    assert "event 1: timestamp is before" in found["detail"]
    told = [(status["index"], status["status"]) for status in found["events"]]
    assert told == [(0, "accepted"), (1, "invalid"), (2, "invalid"), (3, "accepted"), (3, "invalid")]
    counted = f"SELECT metric FROM {{db}}.usage_events WHERE tenant_id = '{mark}' ORDER BY metric"
    wait_until(lambda: [row["metric"] for row in moved.query(counted)] == ["calls", "clicks"], 60, "both counted")


@pytest.mark.parametrize(
    ("body", "media_type", "headers", "status", "code"),
    [
        (b"{", "application/json", {}, 400, "invalid_json"),
        (b"{}", "application/cloudevents-batch+json", {}, 400, "invalid_json"),
        (b"{}", "application/json", {}, 400, "invalid_events"),
        (b"[1]", "application/json", {}, 400, "invalid_events"),
        (b"{}", "text/plain", {}, 415, "unsupported_media_type"),
        (b"{}", "application/x-ndjson", {}, 415, "unsupported_media_type"),
        (b"{}", "application/json", {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
        (b"x", "application/json", {"ce-specversion": "1.0"}, 400, "invalid_json"),
        (b"{}", "application/json", {"ce-specversion": "1.0"}, 400, "invalid_events"),
        (b"[" + b"1," * 10_001 + b"1]", "application/json", {}, 413, "too_many_events"),
    ],
)
def test_each_wrong_request_has_its_problem(
    http: httpx.Client, body: bytes, media_type: str, headers: dict[str, str], status: int, code: str
) -> None:
    problem(ingest(http, body, media_type, **headers), status, code)


def test_the_sdk_reads_our_problems(client: Client, moved: Moved) -> None:
    with pytest.raises(HttpResponseError) as refused:
        client.events.ingest_event(Event(**{**event(), "specversion": "0.3"}))
    assert refused.value.status_code == 400
    read: Any = refused.value.model
    assert "specversion" in read["detail"]
    assert read["instance"] == "/api/v1/events"
    with Client(endpoint=moved.url, token="wrong") as stranger, pytest.raises(HttpResponseError) as unknown:
        stranger.events.ingest_event(Event(**event()))
    assert unknown.value.status_code == 401


# tenants


def key_of(http: httpx.Client, role: str, *tenants: str) -> str:
    answer = http.post("/v1/keys", json={"role": role, "tenants": list(tenants)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def test_a_key_writes_and_reads_its_own_subjects_only(http: httpx.Client, moved: Moved, sent: object) -> None:
    writer = {"Authorization": f"Bearer {key_of(http, 'producer', 'customer-1')}"}
    assert ingest(http, event(subject="customer-1"), **writer).status_code == 204
    problem(ingest(http, event(subject="customer-2"), **writer), 403, "permission_denied")
    partly = problem(ingest(http, [event(subject=name) for name in SUBJECTS], **writer), 403, "permission_denied")
    assert [status["status"] for status in partly["events"]] == ["accepted", "refused", "refused"]
    problem(http.get("/api/v1/meters/prompts/query", headers=writer), 403, "permission_denied")
    reader = {"Authorization": f"Bearer {key_of(http, 'viewer', 'customer-1')}"}
    problem(ingest(http, event(subject="customer-1"), **reader), 403, "permission_denied")
    answer = exact(http.get("/api/v1/meters/prompts/query", params={"groupBy": "subject"}, headers=reader))
    assert {row["subject"] for row in answer["data"]} == {"customer-1"}
    total = exact(http.get("/api/v1/meters/prompts/query", headers=reader))
    assert total["data"][0]["value"] == answer["data"][0]["value"]
    for path in ("/api/v1/meters/prompts/query?subject=customer-1&subject=customer-2",):
        problem(http.get(path, headers=reader), 403, "permission_denied")
    assert http.get("/api/v1/meters/prompts/subjects", headers=reader).json() == ["customer-1"]
    problem(http.get("/api/v1/meters/theirs", headers=reader), 404, "unknown_metric")
    assert "theirs" not in {meter["slug"] for meter in http.get("/api/v1/meters", headers=reader).json()}
    assert "theirs" in {meter["slug"] for meter in http.get("/api/v1/meters").json()}


# meters


def test_the_sdk_lists_and_gets_meters(client: Client) -> None:
    found = {meter.slug: meter for meter in client.meters.list()}
    assert {meter["slug"] for meter in METERS + CLICKS} | {"calls", "theirs", "p95_ms"} <= found.keys()
    assert "old" not in found
    tokens_total = client.meters.get("tokens_total")
    assert tokens_total == found["tokens_total"]
    for name, value in METERS[0].items():
        assert tokens_total[name] == value
    assert tokens_total.created_at.tzinfo is not None
    assert found["tokens_latest"].aggregation == "LATEST"
    calls = found["calls"]
    assert (calls.event_type, calls.value_property, calls.group_by) == ("calls", "$.quantity", {"region": "$.region"})
    assert "old" in {meter.slug for meter in client.meters.list(include_deleted=True)}
    slugs = [meter.slug for meter in client.meters.list(order="DESC", order_by="key", page_size=4, page=2)]
    assert slugs == sorted(found, reverse=True)[4:8]


# queries


def test_the_quick_start_of_the_sdk(client: Client, sent: list[dict[str, Any]]) -> None:
    result = client.meters.query_json(meter_id_or_slug="tokens_total")
    (row,) = result.data
    (total,) = recount("tokens_total", sent, lambda _event: None).values()
    assert row.value == float(total)
    assert row.group_by == {}
    assert [result.from_property, result.to, result.window_size, row.subject] == [None] * 4


@pytest.mark.parametrize("slug", [meter["slug"] for meter in METERS])
def test_each_aggregation_is_exact_by_subject_and_in_all(
    http: httpx.Client, sent: list[dict[str, Any]], slug: str
) -> None:
    where = {"from": START.isoformat(), "to": END.isoformat()}
    answer = http.get(f"/api/v1/meters/{slug}/query", params={**where, "groupBy": "subject"})
    found = {row["subject"]: row["value"] for row in exact(answer)["data"]}
    assert found == recount(slug, sent, lambda event: event["subject"])
    (row,) = exact(http.get(f"/api/v1/meters/{slug}/query", params=where))["data"]
    assert {None: row["value"]} == recount(slug, sent, lambda _event: None)
    assert re.search(r'"value":[0-9.]+,', answer.text)


ZONES = {"MINUTE": "UTC", "HOUR": "Asia/Kolkata", "DAY": "America/New_York", "MONTH": "Europe/Vienna"}


@pytest.mark.parametrize("size", ZONES)
@pytest.mark.parametrize("slug", ["tokens_total", "tokens_peak", "users"])
def test_windows_are_those_of_the_zone(client: Client, sent: list[dict[str, Any]], slug: str, size: str) -> None:
    zone = ZoneInfo(ZONES[size])

    def window(event: dict[str, Any]) -> datetime:
        local = event["time"].astimezone(zone)
        cut: dict[str, dict[str, Any]] = {"MINUTE": {}, "HOUR": {"minute": 0}, "DAY": {"minute": 0, "hour": 0}}
        start: datetime = local.replace(second=0, microsecond=0, **cut.get(size, {"minute": 0, "hour": 0, "day": 1}))
        return start.astimezone(UTC)

    found = client.meters.query_json(slug, window_size=size, window_time_zone=ZONES[size])
    assert found.window_size == size
    wanted = recount(slug, sent, window)
    assert [row.window_start for row in found.data] == sorted(wanted)
    assert {row.window_start: row.value for row in found.data} == {at: float(value) for at, value in wanted.items()}
    for row in found.data:
        following = row.window_start.astimezone(zone).replace(tzinfo=None)
        step = {"MINUTE": timedelta(minutes=1), "HOUR": timedelta(hours=1), "DAY": timedelta(days=1)}.get(size)
        following = following + step if step else (following + timedelta(days=32)).replace(day=1)
        assert row.window_end == following.replace(tzinfo=zone)


def test_a_range_is_exact_to_the_millisecond(http: httpx.Client, sent: list[dict[str, Any]]) -> None:
    ordered = sorted((event["time"] for event in sent if "tokens" in event["data"]), key=lambda at: at)
    for first, last in ((ordered[10], ordered[50]), (ordered[3], END), (START, ordered[7])):
        params = {"from": first.isoformat(), "to": last.isoformat()}
        (row,) = exact(http.get("/api/v1/meters/tokens_total/query", params=params))["data"]
        inside = [event for event in sent if first <= event["time"] < last]
        assert {None: row["value"]} == recount("tokens_total", inside, lambda _event: None)
        assert datetime.fromisoformat(row["windowStart"]) == first
        assert datetime.fromisoformat(row["windowEnd"]) == last


def test_groups_and_filters(client: Client, sent: list[dict[str, Any]]) -> None:
    def model(event: dict[str, Any]) -> str:
        return str(event["data"]["model"])

    def kind(event: dict[str, Any]) -> str:
        return str(event["data"]["kind"]["type"])

    found = client.meters.query_json("tokens_total", group_by=["model", "subject", "type"])
    values = {(row.group_by["model"], row.subject, row.group_by["type"]): row.value for row in found.data}
    wanted = recount("tokens_total", sent, lambda event: (model(event), event["subject"], kind(event)))
    assert values == {group: float(value) for group, value in wanted.items()}
    only = recount("tokens_total", sent, kind, lambda event: model(event) == MODELS[1])
    but = recount("tokens_total", sent, kind, lambda event: model(event) != MODELS[1])
    ne: Any = {"model": {"$ne": MODELS[1]}}  # the SDK writes no model of its own into a URL
    for answer, expected in (
        (client.meters.query_json("tokens_total", group_by=["type"], filter_group_by={"model": MODELS[1]}), only),
        (
            client.meters.query(
                "tokens_total", MeterQueryRequest(group_by=["type"], filter_group_by={"model": [MODELS[1]]})
            ),
            only,
        ),
        (
            client.meters.query_json(
                "tokens_total",
                group_by=["type"],
                advanced_meter_group_by_filters=ne,
            ),
            but,
        ),
        (
            client.meters.query(
                "tokens_total",
                {"groupBy": ["type"], "advancedMeterGroupByFilters": {"model": {"$nin": [MODELS[1], "x"]}}},
            ),
            but,
        ),
    ):
        assert {row.group_by["type"]: row.value for row in answer.data} == {
            group: float(value) for group, value in expected.items()
        }
    assert client.meters.query_json("tokens_total", filter_group_by={"model": "none"}).data == []


def test_a_subject_that_is_filtered_by_is_told_apart(client: Client, sent: list[dict[str, Any]]) -> None:
    found = client.meters.query_json("prompts", subject=[*SUBJECTS[:2], "nobody"])
    wanted = recount("prompts", sent, lambda event: event["subject"], lambda event: event["subject"] in SUBJECTS[:2])
    assert {row.subject: row.value for row in found.data} == {name: float(value) for name, value in wanted.items()}


def test_deep_objects_are_read_as_the_javascript_sdk_writes_them(http: httpx.Client, sent: object) -> None:
    path = "/api/v1/meters/prompts/query"
    deep = http.get(path, params={"filterGroupBy[model]": MODELS[0]})
    text = http.get(path, params={"filterGroupBy": json.dumps({"model": MODELS[0]})})
    advanced = http.get(path, params={"advancedMeterGroupByFilters[model]": json.dumps({"$eq": MODELS[0]})})
    assert exact(deep) == exact(text) == exact(advanced) != exact(http.get(path))


def test_csv_is_written_as_openmeter_writes_it(client: Client, http: httpx.Client, sent: list[dict[str, Any]]) -> None:
    text = client.meters.query_csv("tokens_total", group_by=["subject", "model"])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["window_start", "window_end", "subject", "model", "value"]
    wanted = recount("tokens_total", sent, lambda event: (event["subject"], event["data"]["model"]))
    assert {(row[2], row[3]): Decimal(row[4]) for row in rows[1:]} == wanted
    answer = http.post("/api/v1/meters/prompts/query", json={"windowSize": "DAY"}, headers={"Accept": "text/csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="prompts.csv"'
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines()[0] == "window_start,window_end,value"


def test_subjects_and_values_are_listed(client: Client, sent: object) -> None:
    assert client.meters.list_subjects("tokens_total") == SUBJECTS
    assert client.meters.list_subjects("tokens_total", to=START - timedelta(days=1)) == []
    assert sorted(client.meters.list_group_by_values("tokens_total", "model")) == sorted(MODELS)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("none", 404, "unknown_metric"),
        ("none/query", 404, "unknown_metric"),
        ("%00/query", 404, "unknown_metric"),
        ("prompts/query?windowSize=WEEK", 400, "invalid_request"),
        ("prompts/query?windowTimeZone=Mars/Base", 400, "invalid_request"),
        ("prompts/query?from=yesterday", 400, "invalid_request"),
        ("prompts/query?from=2026-01-01T00:00:00", 400, "invalid_request"),
        ("prompts/query?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "invalid_range"),
        ("prompts/query?from=0001-01-01T00:00:00%2B14:00", 400, "invalid_range"),
        ("prompts/query?to=9999-12-31T23:59:59.999999-14:00", 400, "invalid_range"),
        ("prompts/query?from=1969-12-31T23:59:59.999Z", 400, "invalid_range"),
        ("prompts/query?from=2999-01-01T00:00:00Z", 400, "invalid_range"),
        ("prompts/query?from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z", 400, "invalid_request"),
        ("prompts/query?groupBy=region", 400, "invalid_request"),
        ("prompts/query?groupBy=customer_id", 400, "invalid_request"),
        ("prompts/query?filterCustomerId=01K", 400, "invalid_request"),
        ("prompts/query?filterGroupBy[region]=x", 400, "invalid_request"),
        ("prompts/query?filterGroupBy=x", 400, "invalid_request"),
        ("prompts/query?filterGroupBy[model]=x&advancedMeterGroupByFilters[model]={}", 400, "invalid_request"),
        ('prompts/query?advancedMeterGroupByFilters={"model":{"$like":"x"}}', 400, "invalid_request"),
        ("prompts/query?advancedMeterGroupByFilters[model]=1", 400, "invalid_request"),
        ("prompts/query?subject=", 400, "invalid_request"),
        ("prompts/group-by/region/values", 400, "invalid_request"),
        ("?page=0", 400, "invalid_request"),
        ("?orderBy=colour", 400, "invalid_request"),
    ],
)
def test_a_question_that_cannot_be_answered_is_a_problem(http: httpx.Client, path: str, status: int, code: str) -> None:
    answer = http.get(f"/api/v1/meters/{path}" if not path.startswith("?") else f"/api/v1/meters{path}")
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert (found["code"], found["status"]) == (code, status)
    assert found["instance"].startswith("/api/v1/meters")


def test_odd_names_are_taken_as_names(http: httpx.Client) -> None:
    for name in ("a\x00b", "'; DROP", "x" * 256, "\u2028", "{x:String}"):
        assert exact(http.get("/api/v1/meters/prompts/query", params={"subject": name}))["data"] == []
    nothing = dict.fromkeys(["from", "to", "groupBy", "filterGroupBy", "subject", "filterCustomerId", "windowSize"])
    assert exact(http.post("/api/v1/meters/prompts/query", json=nothing)) == exact(
        http.get("/api/v1/meters/prompts/query")
    )
    found = problem(http.post("/api/v1/meters/prompts/query", content=b"["), 400, "invalid_json")
    assert "JSON" in found["detail"]


# other clients


def test_the_javascript_sdk_sends_and_asks(
    moved: Moved, http: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    node, npm = tool("node"), tool("npm")
    folder = shutil.copytree(CLIENT, tmp_path_factory.mktemp("javascript") / "client")
    environment = {**os.environ, "OPENMETER_URL": moved.url, "OPENMETER_KEY": KEY}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    run(node, "client.js", "send", "customer-js")
    counted = "SELECT count() AS n FROM {db}.usage_events WHERE tenant_id = 'customer-js'"
    wait_until(lambda: moved.query(counted)[0]["n"] == 6, 60, lambda: f"six rows: {moved.query(counted)}")
    found = json.loads(run(node, "client.js", "ask", "customer-js"))
    assert {"clicks", "click_ms"} <= set(found["meters"])
    assert (found["meter"]["valueProperty"], found["meter"]["aggregation"]) == ("$.ms", "SUM")
    (day,) = found["total"]["data"]
    assert (day["value"], day["subject"], found["total"]["windowSize"]) == (42.8, "customer-js", "DAY")
    assert [row["value"] for row in found["posted"]["data"]] == [2]
    assert found["filtered"]["data"] == found["posted"]["data"]
    assert found["pages"] == ["/a"]
    assert found["error"][:2] == ["HTTPError", 404]
    assert "there is no meter 'none'" in found["error"][2]


# what is defined twice


def test_a_meter_that_the_catalog_and_the_file_define_differently_is_not_answered(http: httpx.Client) -> None:
    for path in ("other", "other/query"):
        found = problem(http.get(f"/api/v1/meters/{path}"), 409, "conflict")
        assert "the catalog says max, the file with meters SUM" in found["detail"]
    found = problem(http.get("/api/v1/meters/undefined_yet"), 404, "unknown_metric")
    assert "define it first" in found["detail"]
