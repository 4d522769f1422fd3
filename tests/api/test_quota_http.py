"""Quotas over HTTP: what is left, and events that are refused, in a real process on a real broker."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_schemas.catalog import Entry, Metric, Quota, Threshold
from meterline_schemas.counter import Counter
from meterline_schemas.partitioning import partition_of
from meterline_schemas.periods import FIRST, LAST
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import migrate
from tests.api.counters import counter, write
from tests.api.process import ApiProcess
from tests.producers.reading import events
from tests.services.clickhouse import ClickHouseServer
from tests.services.kafka import create_topics
from tests.sinks.usage import START, Event
from tests.support.cluster import admin, producer
from tests.support.streams import wait_until

PARTITIONS = 4
ORDERS = Metric.model_validate({"key": "orders", "unit": "order", "reset_period": "never"})


def define(kafka: str, prefix: str, *entries: Entry) -> None:
    sender = producer(kafka)
    for entry in entries:
        sender.produce(prefix + "meterline.config", entry.encode(), entry.record_key)
    assert sender.flush(30) == 0


def quota(**fields: Any) -> Quota:
    return Quota.model_validate({"metric": "orders", "included": "50", **fields})


def stop(**fields: Any) -> Threshold:
    return Threshold.model_validate({"id": "stop", "metric": "orders", "action": "block", **fields})


def used(tenant_id: str, amount: str, subject: str = "", **more: Any) -> Counter:
    return counter(
        tenant_id, PARTITIONS, subject=subject, calendar="never", start=FIRST, end=LAST, count=1, sum=amount, **more
    )


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"quotas-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def api(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A process without ClickHouse, with a quota of 50 orders for all and a threshold that blocks at it."""
    create_topics(kafka, prefix, PARTITIONS)
    private = Metric(key="private", tenant_id="acme")
    priced = quota(tenant_id="priced", price_per_unit="0.05", currency="EUR")
    one = stop(id="one", tenant_id="team", subject="user:1", amount="5")
    define(kafka, prefix, ORDERS, private, quota(), priced, stop(), one)
    write(kafka, prefix, used("priced", "75"), used("full", "50"), used("team", "1"), used("team", "5", "user:1"))
    process = ApiProcess(kafka, prefix, None, tmp_path_factory.mktemp("api"))
    process.start()
    wait_until(lambda: check(process, "acme").status_code == 200, 30, "the counters are read")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def check(api: ApiProcess, tenant_id: str, metric: str = "orders", **more: str) -> httpx.Response:
    return api.client.get("/v1/quotas/check", params={"tenant_id": tenant_id, "metric": metric, **more})


def send(api: ApiProcess, *given: dict[str, Any]) -> httpx.Response:
    return api.send(json.dumps([{"id": uuid.uuid4().hex, "metric": "orders", "quantity": 1, **each} for each in given]))


def test_what_is_left_is_answered_with_decimals_as_text(api: ApiProcess) -> None:
    answer = check(api, "priced")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "tenant_id": "priced", "metric": "orders", "subject": "", "aggregation": "sum", "unit": "order",
        "has_quota": False, "unlimited": False, "blocked": True,
        "used": "75", "included": "50", "remaining": "0", "percent": "150",
        "overage": "25", "overage_amount": "1.25", "currency": "EUR",
        "period": "never", "period_start": None, "resets_at": None,
        "thresholds": [{"id": "stop", "subject": "", "action": "block", "used": "75", "limit": "50", "percent": "150",
                        "reached": True, "resets_at": None}],
        "provisional": False,
    }  # fmt: skip
    assert check(api, "acme").json()["used"] == "0"


def test_a_counter_is_seen_well_within_two_seconds(api: ApiProcess, kafka: str, prefix: str) -> None:
    for amount in ("1.5", "2.25", "3"):
        write(kafka, prefix, used("quick", amount))
        deadline = time.monotonic() + 2
        while check(api, "quick").json()["used"] != amount:
            assert time.monotonic() < deadline
    write(kafka, prefix, used("quick", "3"), tombstones=True)
    wait_until(lambda: check(api, "quick").json()["used"] == "0", 10, "the counter is gone")


def test_a_metric_that_is_not_defined_or_of_another_tenant_is_unknown(api: ApiProcess) -> None:
    for answer in (check(api, "acme", "orderz"), check(api, "other", "private")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_metric")
        assert answer.headers["content-type"] == "application/problem+json"
    assert check(api, "acme", "private").json()["unlimited"]


@pytest.mark.parametrize("query", [{}, {"tenant_id": "a"}, {"metric": "orders"}, {"tenant_id": "", "metric": "orders"}])
def test_a_question_without_tenant_or_metric_is_a_problem(api: ApiProcess, query: dict[str, str]) -> None:
    answer = api.client.get("/v1/quotas/check", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_the_key_is_needed(api: ApiProcess) -> None:
    path = "/v1/quotas/check?tenant_id=a&metric=orders"
    assert api.client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_events_of_who_may_not_use_more_are_refused_and_not_sent(api: ApiProcess, kafka: str, prefix: str) -> None:
    answer = send(api, {"id": "r-1", "tenant_id": "full"}, {"id": "r-2", "tenant_id": "full"})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "quota_exceeded"
    assert "'full' used 50 of 50 order" in problem["detail"]
    assert [(event["status"], event["reason"]) for event in problem["events"]] == [("refused", "quota_exceeded")] * 2
    assert not {"r-1", "r-2"} & {event["id"] for event in events(kafka, prefix)}
    counted = api.client.get("/metrics").text
    assert 'meterline_api_events_total{outcome="refused"}' in counted


def test_each_event_of_a_request_has_its_own_answer(api: ApiProcess, kafka: str, prefix: str) -> None:
    answer = send(
        api,
        {"id": "m-1", "tenant_id": "acme"},
        {"id": "m-2", "tenant_id": "full"},
        {"id": "m-3", "tenant_id": "full", "quantity": "x"},
        {"id": "m-4", "tenant_id": "full", "metric": "never defined"},
        {"id": "m-5", "tenant_id": "team", "subject": "user:1"},
        {"id": "m-6", "tenant_id": "team", "subject": "user:2"},
        {"id": "m-7", "tenant_id": "team"},
    )
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert [event["status"] for event in found["events"]] == [
        "accepted", "refused", "invalid", "accepted", "refused", "accepted", "accepted",
    ]  # fmt: skip
    assert (found["accepted"], found["invalid"], found["refused"]) == (4, 1, 2)
    sent = {event["id"] for event in events(kafka, prefix) if event["id"].startswith("m-")}
    assert sent == {"m-1", "m-4", "m-6", "m-7"}


def test_a_request_in_which_the_rest_is_invalid_is_refused(api: ApiProcess) -> None:
    answer = send(api, {"tenant_id": "acme", "quantity": "x"}, {"tenant_id": "full"})
    assert (answer.status_code, answer.json()["code"]) == (403, "quota_exceeded")
    assert [event["status"] for event in answer.json()["events"]] == ["invalid", "refused"]


def test_who_reaches_the_limit_is_refused_until_it_is_raised(api: ApiProcess, kafka: str, prefix: str) -> None:
    assert send(api, {"tenant_id": "grows"}).status_code == 202
    write(kafka, prefix, used("grows", "50"))
    wait_until(lambda: check(api, "grows").json()["blocked"], 10, "the limit is reached")
    assert send(api, {"tenant_id": "grows"}).status_code == 403
    define(kafka, prefix, quota(tenant_id="grows", included="51"))
    wait_until(lambda: not check(api, "grows").json()["blocked"], 10, "the quota is raised")
    assert send(api, {"tenant_id": "grows"}).status_code == 202


def test_before_the_counters_are_read_it_does_not_answer_and_refuses_nobody(kafka: str, tmp_path: Path) -> None:
    prefix = f"no-counters-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, PARTITIONS)
    define(kafka, prefix, ORDERS, quota(), stop())
    for deleted in admin(kafka).delete_topics([prefix + "usage.counters"]).values():
        deleted.result(30)
    api = ApiProcess(kafka, prefix, None, tmp_path)
    api.start()
    wait_until(lambda: "meterline setup" in check(api, "full").text, 30, "it says what is wrong")
    answer = check(api, "full")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "retry-after" in answer.headers
    assert send(api, {"tenant_id": "full"}).status_code == 202
    assert api.stop() == 0


@pytest.fixture
def tables(clickhouse: ClickHouseSettings) -> ClickHouseSettings:
    """Two orders of a tenant, one of them by a user."""
    migrate(clickhouse, cluster="")
    home = partition_of("early", PARTITIONS)
    rows = [Event("early", "orders", START, f"e-{offset}", Decimal("1.25"), False, home, offset) for offset in (1, 2)]
    edge = ClickHouse(clickhouse, clickhouse.database)
    edge.insert("usage_events_raw", b"\n".join(event.line() for event in rows))
    edge.close()
    return clickhouse


def test_usage_from_before_a_new_quota_for_all_is_read_from_the_events(
    kafka: str, tables: ClickHouseSettings, clickhouse_server: ClickHouseServer, tmp_path: Path
) -> None:
    prefix = f"new-quota-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, PARTITIONS)
    define(kafka, prefix, ORDERS, quota(changed_at=datetime.now(UTC)))
    api = ApiProcess(kafka, prefix, tables, tmp_path)
    api.start()
    wait_until(lambda: check(api, "new").status_code == 200, 30, "the counters are read")
    found = check(api, "early").json()
    assert (found["used"], found["remaining"], found["provisional"]) == ("2.5", "47.5", True)
    assert check(api, "new").json()["used"] == "0"
    write(kafka, prefix, used("early", "3.5"))
    wait_until(lambda: check(api, "early").json()["used"] == "3.5", 10, "its counter has begun")
    assert not check(api, "early").json()["provisional"]
    clickhouse_server.kill()
    answer = check(api, "another")
    assert (answer.status_code, answer.json()["used"], answer.json()["provisional"]) == (200, "0", True)
    assert api.stop() == 0
