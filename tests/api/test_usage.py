"""GET /v1/usage over a real ClickHouse, against an independent count of what was written."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse as ClickHouseEdge
from meterline_api.problems import Problem
from meterline_api.settings import ApiSettings
from meterline_api.usage.answer import usage_of
from meterline_api.usage.query import UsageQuery
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api import oracle
from tests.api.oracle import Reading
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.services.kafka import create_topics
from tests.sinks.usage import START, Event, checkpoints, events, fold, standing
from tests.support.cluster import producer
from tests.support.late import insert_events
from tests.support.streams import wait_until

LINES = events(7, 1_200)
EVENTS = standing(LINES)
MIDDLE = START.replace(hour=0) + timedelta(days=2)
END = START + timedelta(hours=61)
METRICS = {"calls": Aggregation.SUM, "storage": Aggregation.LAST}
COMPUTED = ("avg", "p95", "unique_count", "time_weighted")
COMPUTED_METRICS = {
    kind: Metric(key=kind, aggregation=Aggregation(kind), unique_by="color" if kind == "unique_count" else "")
    for kind in COMPUTED
}
OFFERING = Metric(key="offering", group_by=("color", "plan"))
# in a time of their own
ELSEWHERE = START.replace(month=3, hour=0)
READINGS = [
    Reading(
        tenant_id,
        metric,
        ELSEWHERE + timedelta(minutes=17 * n),
        f"{n}",
        Decimal(n * n % 7) / 8,
        subject=("", "user:1", "user:2")[n % 3],
        color=("red", "blue", None)[n % 5 % 3],
        late=True,
        offset=n,
    )
    for tenant_id in ("acme", "beta")
    for metric in COMPUTED
    for n in range(-3, 150)
]
PLACE = {Aggregation.SUM: 1, Aggregation.LAST: 4}


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    """Tables with usage in them."""
    edge = ClickHouse(module_database, module_database.database)
    made = checkpoints(LINES, 50)
    edge.insert("usage_totals", b"\n".join(value for checkpoint in made for _key, value in checkpoint.totals))
    insert_events(edge, b"\n".join(line for checkpoint in made for line in checkpoint.accepted))
    insert_events(edge, b"\n".join(reading.line() for reading in READINGS))
    edge.close()
    return module_database


@pytest.fixture(scope="module")
def api(kafka: str, database: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """The API on these tables, with both metrics defined."""
    prefix = f"usage-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, 2)
    sender = producer(kafka)
    for key, aggregation in METRICS.items():
        metric = Metric(key=key, unit="u", aggregation=aggregation)
        sender.produce(prefix + "meterline.config", metric.encode(), key=metric.record_key)
    for metric in (*COMPUTED_METRICS.values(), OFFERING):
        sender.produce(prefix + "meterline.config", metric.encode(), key=metric.record_key)
    assert sender.flush(30) == 0
    process = ApiProcess(kafka, prefix, database, tmp_path_factory.mktemp("api"))
    process.start()
    wait_until(lambda: process.usage(metric="calls").status_code == 200, 30, "the metrics are known")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def expected(
    keep: Callable[[Event], bool], window: Callable[[datetime], datetime], *names: str, start: datetime, end: datetime
) -> dict[tuple[Any, ...], tuple[int, Decimal]]:
    """Count and value by window, metric and whatever is named, from the events themselves."""
    groups: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in EVENTS:
        if keep(event) and start <= event.timestamp < end:
            extra = {"tenant_id": event.tenant_id, "subject": f"user-{event.offset % 7}"}
            first = max(window(event.timestamp), start)
            groups[(text(first), event.metric, *(extra[name] for name in names))].append(event)
    found = {}
    for key, group in groups.items():
        answer = fold(group)
        found[key] = (answer[0], Decimal(str(answer[PLACE[METRICS[key[1]]]])))
    return found


def rows(answer: httpx.Response, *names: str) -> dict[tuple[Any, ...], tuple[int, Decimal]]:
    assert answer.status_code == 200, answer.text
    # what a gauge read in another time holds to this day
    data = [row for row in answer.json()["data"] if row["metric"] not in COMPUTED]
    found = {
        (row["from"], row["metric"], *(row[name] for name in names)): (row["count"], Decimal(row["value"]))
        for row in data
    }
    assert len(found) == len(data)
    assert all(row["aggregation"] == METRICS[row["metric"]] and row["unit"] == "u" for row in data)
    return found


@pytest.mark.parametrize("window", [None, "hour", "day", "month"])
@pytest.mark.parametrize("names", [(), ("tenant_id",), ("subject",), ("tenant_id", "subject", "source")])
def test_metrics_of_different_aggregations_are_each_answered_with_their_own(
    api: ApiProcess, window: str | None, names: tuple[str, ...]
) -> None:
    start, end = ELSEWHERE, ELSEWHERE + timedelta(hours=50)
    query: dict[str, Any] = {"start": text(start), "end": text(end), "group_by": list(names), "limit": 10_000}
    answer = api.usage(**query, **({"window": window} if window else {}))
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert all(row["aggregation"] == row["metric"] for row in data)
    found = {
        (datetime.fromisoformat(row["from"]), row["metric"], *(row[name] for name in names)): (
            row["count"],
            row["value"],
        )
        for row in data
    }
    assert len(found) == len(data)
    assert found == oracle.expected(READINGS, COMPUTED_METRICS, names, window, start, end, datetime.now(UTC))


@pytest.mark.parametrize("metric", [*COMPUTED, "calls"])
def test_a_subject_can_be_asked_for_alone(api: ApiProcess, metric: str) -> None:
    end = END if metric == "calls" else ELSEWHERE + timedelta(hours=50)
    query = {"start": text(ELSEWHERE), "end": text(end), "metric": metric, "window": "day", "limit": 10_000}
    grouped = api.usage(**query, group_by="subject").json()["data"]
    for subject in {row["subject"] for row in grouped}:
        alone = api.usage(**query, subject=subject).json()["data"]
        assert alone == [
            {name: value for name, value in row.items() if name != "subject"}
            for row in grouped
            if row["subject"] == subject
        ]
    assert api.usage(**query, subject="nobody").json()["data"] == []


WINDOWS: dict[str, Callable[[datetime], datetime]] = {
    "hour": lambda at: at.replace(minute=0, second=0, microsecond=0),
    "day": lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0),
    "month": lambda at: at.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_of_each_tenant_equal_an_independent_count(api: ApiProcess, window: str) -> None:
    answer = api.usage(start=text(START), end=text(END), window=window, group_by="tenant_id", limit=10_000)
    wanted = expected(lambda _event: True, WINDOWS[window], "tenant_id", start=START, end=END)
    assert rows(answer, "tenant_id") == wanted


def test_without_a_window_there_is_one_row_for_the_range(api: ApiProcess) -> None:
    answer = api.usage(start=text(START), end=text(MIDDLE), tenant_id="tenant-3", metric="calls")
    wanted = expected(
        lambda event: (event.tenant_id, event.metric) == ("tenant-3", "calls"),
        lambda _at: START,
        start=START,
        end=MIDDLE,
    )
    assert rows(answer) == wanted
    assert len(wanted) == 1
    assert answer.json()["data"][0]["to"] == text(MIDDLE)


def test_a_range_that_cuts_days_answers_for_the_part_inside(api: ApiProcess) -> None:
    start, end = START + timedelta(hours=3), END - timedelta(hours=5)
    answer = api.usage(start=text(start), end=text(end), window="day", metric="calls")
    wanted = expected(lambda event: event.metric == "calls", WINDOWS["day"], start=start, end=end)
    assert rows(answer) == wanted
    data = answer.json()["data"]
    assert (data[0]["from"], data[-1]["to"]) == (text(start), text(end))
    assert all(one["to"] == other["from"] for one, other in itertools.pairwise(data))


def test_usage_by_subject_is_computed_from_the_events(api: ApiProcess) -> None:
    answer = api.usage(start=text(START), end=text(END), window="day", group_by=["subject", "tenant_id"], limit=10_000)
    wanted = expected(lambda _event: True, WINDOWS["day"], "tenant_id", "subject", start=START, end=END)
    assert rows(answer, "tenant_id", "subject") == wanted


def test_all_tenants_together(api: ApiProcess) -> None:
    answer = api.usage(start=text(START), end=text(END))
    assert rows(answer) == expected(lambda _event: True, lambda _at: START, start=START, end=END)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_have_every_row_once_and_in_order(api: ApiProcess, limit: int) -> None:
    query: dict[str, Any] = {
        "start": text(START),
        "end": text(START + timedelta(hours=20)),
        "window": "hour",
        "group_by": "tenant_id",
        "tenant_id": "tenant-1",
    }
    whole = api.usage(**query, limit=10_000).json()
    assert "next_cursor" not in whole
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.usage(**query, limit=limit, **cursor).json()
        assert 1 <= len(page["data"]) <= limit
        pages += page["data"]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == whole["data"]


def test_decimals_are_exact_text(api: ApiProcess) -> None:
    answer = api.usage(start=text(START), end=text(END), metric="calls")
    (row,) = answer.json()["data"]
    assert isinstance(row["value"], str)
    assert len(row["value"].replace("-", "")) > 20 or "." in row["value"]
    assert "e" not in row["value"].lower()


def test_nothing_used_is_no_rows(api: ApiProcess) -> None:
    answer = api.usage(tenant_id="nobody", start="2026-01-01T00:00:00Z", end="2026-02-01T00:00:00Z")
    assert answer.status_code == 200
    assert answer.json() == {
        "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "window": None, "data": [],
    }  # fmt: skip


def test_by_default_it_is_this_month_up_to_this_hour(api: ApiProcess) -> None:
    before = datetime.now(UTC)
    found = api.usage().json()
    end = datetime.fromisoformat(found["to"])
    assert timedelta(0) < end - before <= timedelta(hours=1, minutes=1)
    assert found["from"].endswith("-01T00:00:00Z")


def test_another_time_zone_is_the_same_instant(api: ApiProcess) -> None:
    here = api.usage(start=text(START), end=text(END), metric="calls").json()
    there = api.usage(start=START.astimezone().isoformat(), end="2026-11-01T16:00:00+05:00", metric="calls").json()
    assert datetime(2026, 11, 1, 11, tzinfo=UTC) == END
    assert here == there


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"metric": "never defined"}, 404, "unknown_metric"),
        ({"start": "2026-01-01T00:30:00Z"}, 422, "invalid_range"),
        ({"end": "2026-01-01T00:30:00Z"}, 422, "invalid_range"),
        ({"start": "2026-01-01T00:00:00+05:30"}, 422, "invalid_range"),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, 422, "invalid_range"),
        ({"start": "1800-01-01T00:00:00Z"}, 422, "invalid_range"),
        ({"end": "9999-12-31T23:00:00-12:00"}, 422, "invalid_range"),
        ({"start": "2026-01-01T00:00:00"}, 422, "invalid_request"),
        ({"start": "yesterday"}, 422, "invalid_request"),
        ({"window": "fortnight"}, 422, "invalid_request"),
        ({"window": "P2D"}, 422, "invalid_request"),
        ({"window": "billing"}, 422, "invalid_range"),
        ({"window": "day", "timezone": "Asia/Kolkata", "start": "1970-01-01T00:00:00Z"}, 422, "invalid_range"),
        ({"start": "2026-01-01T00:00:30Z", "group_by": "subject"}, 422, "invalid_range"),
        ({"start": "2026-01-01T00:30:00Z", "timezone": "Europe/Vienna"}, 422, "invalid_range"),
        ({"timezone": "Mars/Olympus"}, 422, "invalid_request"),
        ({"timezone": "localtime"}, 422, "invalid_request"),
        ({"timezone": "\x00"}, 422, "invalid_request"),
        ({"group_by": "properties."}, 422, "invalid_request"),
        ({"group_by": "properties.size", "metric": "offering"}, 422, "invalid_request"),
        ({"group_by": "properties.size"}, 422, "invalid_request"),
        ({"compare": "next"}, 422, "invalid_request"),
        ({"top": "0"}, 422, "invalid_request"),
        ({"order": "value"}, 422, "invalid_request"),
        ({"other": "true"}, 422, "invalid_request"),
        ({"top": "3", "other": "true", "compare": "previous"}, 422, "invalid_request"),
        ({"top": "3", "cursor": "nonsense"}, 422, "invalid_request"),
        ({"filter": "color"}, 422, "invalid_request"),
        ({"filter": "[]"}, 422, "invalid_request"),
        ({"filter": '{"quantity": {"gt": 1e999}}'}, 422, "invalid_request"),
        ({"filter": '{"color": {"eq": "red"}}'}, 422, "invalid_request"),
        ({"filter": "[" * 16000}, 422, "invalid_request"),
        ({"min_offset": "0"}, 422, "invalid_request"),
        ({"group_by": "region"}, 422, "invalid_request"),
        ({"limit": "0"}, 422, "invalid_request"),
        ({"limit": "10001"}, 422, "invalid_request"),
        ({"tenant_id": ""}, 422, "invalid_request"),
        ({"cursor": "nonsense"}, 422, "invalid_cursor"),
    ],
)
def test_a_wrong_request_is_a_problem_that_says_what(
    api: ApiProcess, query: dict[str, str], status: int, code: str
) -> None:
    answer = api.usage(**query)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def ask(api: ApiProcess, **body: Any) -> httpx.Response:
    """POST /v1/usage/query."""
    return api.client.post("/v1/usage/query", json=body)


@pytest.mark.parametrize(("name", "duration"), [("hour", "PT1H"), ("day", "P1D"), ("week", "P1W"), ("month", "P1M")])
def test_a_window_is_named_or_a_duration(api: ApiProcess, name: str, duration: str) -> None:
    named = api.usage(start=text(START), end=text(END), window=name, limit=10_000).json()
    assert named["window"] == name
    assert named["data"]
    assert api.usage(start=text(START), end=text(END), window=duration, limit=10_000).json() == named


def test_a_body_asks_as_a_url_does(api: ApiProcess) -> None:
    filter = {"subject": {"in": ["user-1", "user-2"]}, "quantity": {"gt": -12.5}}
    asked: dict[str, Any] = {
        "from": text(START), "to": text(END), "window": "P1D", "timezone": "Asia/Kolkata", "compare": "previous",
        "metric": "calls", "group_by": ["properties.region", "tenant_id"], "limit": 10_000,
    }  # fmt: skip
    there = ask(api, **asked, filter=filter)
    assert there.status_code == 200, there.text
    assert there.json()["timezone"] == "Asia/Kolkata"
    assert len(there.json()["data"]) > 20
    here = api.client.get("/v1/usage", params={**asked, "filter": json.dumps(filter)})
    assert here.json() == there.json()


def test_a_filter_and_a_property_choose_events(api: ApiProcess) -> None:
    answer = ask(
        api, **{"from": text(START), "to": text(END)}, group_by=["tenant_id", "properties.region"], metric="calls",
        filter={"properties.region": {"eq": "eu"}, "or": [{"tenant_id": {"eq": "tenant-1"}}, {"quantity": {"gte": 0}}]},
    )  # fmt: skip
    assert {json.dumps(row["properties"]) for row in answer.json()["data"]} == {'{"region": "eu"}'}
    wanted = expected(
        lambda event: event.metric == "calls" and event.offset % 2 == 0
        and (event.tenant_id == "tenant-1" or event.quantity >= 0),
        lambda _at: START, "tenant_id", start=START, end=END,
    )  # fmt: skip
    assert rows(answer, "tenant_id") == wanted


def test_a_filter_never_widens_whose_usage_it_is(api: ApiProcess) -> None:
    asked = {"from": text(START), "to": text(END), "tenant_id": "tenant-1", "group_by": ["tenant_id"]}
    either = {"or": [{"tenant_id": {"eq": "tenant-2"}}, {"tenant_id": {"ne": "tenant-2"}}]}
    found = ask(api, **asked, filter=either).json()["data"]
    assert {row["tenant_id"] for row in found} == {"tenant-1"}
    assert ask(api, **asked, filter={"tenant_id": {"eq": "tenant-2"}}).json()["data"] == []


def test_another_property_than_a_metric_offers_is_refused_with_those_that_it_does(api: ApiProcess) -> None:
    refused = api.usage(metric="offering", group_by="properties.size")
    assert "it offers properties.color, properties.plan" in refused.json()["detail"]
    assert api.usage(metric="offering", group_by=["properties.plan", "properties.color"]).status_code == 200
    assert api.usage(metric="calls", group_by="properties.size").status_code == 200
    assert ask(api, filter={"metric": {"in": ["calls", "storage"]}}, group_by=["properties.size"]).status_code == 200


def test_every_row_beside_its_previous_window_also_where_it_has_no_usage_itself(api: ApiProcess) -> None:
    answer = api.usage(start=text(END), end=text(END + (END - START)), metric="calls", compare="previous")
    (row,) = answer.json()["data"]
    whole = next(iter(rows(api.usage(start=text(START), end=text(END), metric="calls")).values()))
    assert (row["value"], row["count"], row["change_percent"]) == ("0", 0, "-100.0" if whole[1] > 0 else "100.0")
    previous = row["previous"]
    assert (previous["from"], previous["to"]) == (text(START), text(END))
    assert (previous["count"], Decimal(previous["value"])) == whole
    assert "previous" not in api.usage(start=text(START), end=text(END), metric="calls").json()["data"][0]


def test_the_top_and_the_rest_add_up(api: ApiProcess) -> None:
    query: dict[str, Any] = {"start": text(START), "end": text(END), "metric": "calls"}
    (whole,) = api.usage(**query).json()["data"]
    found = api.usage(**query, group_by="tenant_id", top=2, other="true").json()["data"]
    values = [Decimal(row["value"]) for row in found]
    assert [row.get("other", False) for row in found] == [False, False, True]
    assert values[0] >= values[1]
    assert sum(row["count"] for row in found) == whole["count"]
    with localcontext() as context:
        context.prec = 60
        assert sum(values) == Decimal(whole["value"])
    least = api.usage(**query, group_by="tenant_id", top=2, order="value").json()["data"]
    every = rows(api.usage(**query, group_by="tenant_id"), "tenant_id")
    assert [Decimal(row["value"]) for row in least] == sorted(value for _count, value in every.values())[:2]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ('{"from": "now", "colour": 1}', 422, "invalid_request"),
        ('{"filter": {"and": {}}}', 422, "invalid_request"),
        ('{"group_by": ["region"]}', 422, "invalid_request"),
        ('{"limit": 1.5}', 422, "invalid_request"),
        ('{"\\ud800": 1}', 400, "invalid_json"),
        ('{"metric": "\\ud800"}', 400, "invalid_json"),
        ('{"group_by": ["properties.\\ud800"]}', 400, "invalid_json"),
        ('{"filter": {"\\ud800": {"eq": 1}}}', 400, "invalid_json"),
        ('{"filter": {"subject": {"\\ud800": 1}}}', 400, "invalid_json"),
        ('{"filter": {"subject": {"eq": "\\ud800"}}}', 400, "invalid_json"),
        ('{"timezone": "\\ud800"}', 400, "invalid_json"),
        ('{"min_offset": "\\ud800"}', 400, "invalid_json"),
        ('{"metric": "never defined"}', 404, "unknown_metric"),
    ],
)
def test_a_wrong_body_is_a_problem_that_says_what(api: ApiProcess, body: str, status: int, code: str) -> None:
    answer = api.client.post("/v1/usage/query", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def progressed(database: ClickHouseSettings, offset: int) -> None:
    """Everything before the offset of partition 1 is in."""
    told = ", ".join(f"('usage.{name}', 1, {offset})" for name in ("accepted", "rejected", "totals"))
    execute(
        database, f"INSERT INTO {database.database}.usage_progress (topic, kafka_partition, next_offset) VALUES {told}"
    )


def test_one_reads_what_one_wrote(api: ApiProcess, database: ClickHouseSettings) -> None:
    progressed(database, 5)
    assert api.usage(min_offset="1:5").status_code == 200
    late = api.usage(min_offset="1:5,1:9")
    assert (late.status_code, late.json()["code"]) == (503, "not_ready")
    assert "complete up to offset 5, and 9 is asked for" in late.json()["detail"]
    assert late.headers["retry-after"] == "1"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, api, min_offset="1:9")
        progressed(database, 9)
        assert waiting.result().status_code == 200


def test_a_query_beyond_its_limits_says_how_to_narrow_it(database: ClickHouseSettings) -> None:
    edge = ClickHouseEdge(database, 30)
    few = ApiSettings(key=SecretStr("k"), query_max_rows=10)
    service = SimpleNamespace(catalog=Catalog(), clickhouse=edge, settings=few)
    with pytest.raises(Problem) as refused:
        asyncio.run(usage_of(service, UsageQuery(START, END, group_by=("subject",)), END))  # type: ignore[arg-type]
    edge.close()
    assert (refused.value.status, refused.value.code) == (422, "query_too_large")
    assert "ask for a shorter range" in refused.value.detail


@pytest.mark.parametrize("name", ["'; DROP TABLE usage_totals; --", "\\", "{start:UInt32}", "%s", "\x00", "名'\""])
def test_names_are_values_and_never_sql(api: ApiProcess, name: str) -> None:
    answer = api.usage(tenant_id=name, start=text(START), end=text(END))
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []
    query = {"start": text(START), "end": text(END), "metric": "calls"}
    assert api.usage(**query, subject=name).json()["data"] == []
    (row,) = api.usage(**query, group_by="properties." + name).json()["data"]
    assert row["properties"] == {name: None}
    assert api.usage(**query, filter=json.dumps({"properties." + name: {"eq": name}})).json()["data"] == []


def test_without_clickhouse_it_is_a_503_and_comes_back(clickhouse_server: ClickHouseServer, api: ApiProcess) -> None:
    clickhouse_server.kill()
    answer = api.usage()
    assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")
    assert "Traceback" not in answer.text
    clickhouse_server.start()
    wait_until(lambda: api.usage().status_code == 200, 60, "ClickHouse is back")


def test_health_shows_everything_as_it_is(api: ApiProcess) -> None:
    wait_until(lambda: api.client.get("/health").status_code == 200, 60, "all is well")
    found = api.client.get("/health").json()
    assert (found["live"], found["ready"], found["progressing"]) == (True, True, True)
    assert (found["streams"]["lag"], found["sinks"]["lag"]) == (0, 0)
