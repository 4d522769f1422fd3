"""POST /v1/events, over HTTP to a real process and a real broker."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_schemas.partitioning import partition_of
from tests.api.process import KEY, ApiProcess
from tests.producers.reading import events
from tests.services.kafka import Broker, create_topics
from tests.support.cluster import read_all
from tests.support.streams import wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GOOD = {"id": "a", "tenant_id": "t", "metric": "m", "quantity": "1.5"}
CLOUD = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "m", "subject": "t", "data": {"value": 2, "x": 1}}


@pytest.fixture(scope="module")
def module_prefix() -> str:
    return f"events-{datetime.now(UTC):%H%M%S%f}."


@pytest.fixture(scope="module")
def shared(kafka: str, module_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One process for the tests that do nothing to it; without ClickHouse, which it does not need for events."""
    create_topics(kafka, module_prefix, 4)
    folder = tmp_path_factory.mktemp("api")
    process = ApiProcess(kafka, module_prefix, None, folder, API_MAX_BODY_BYTES="100000", API_MAX_EVENTS="500")
    process.start()
    yield process
    assert process.stop() == 0


def body(*fields: dict[str, Any]) -> str:
    return json.dumps([{**GOOD, **field} for field in fields])


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, once it is found to be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["code"] == code
    assert found["type"] == f"urn:meterline:problem:{code}"
    assert found["title"]
    assert found["detail"]
    assert "Traceback" not in answer.text
    return found


def test_an_event_is_in_kafka_when_it_is_answered(shared: ApiProcess, kafka: str, module_prefix: str) -> None:
    answer = shared.send(json.dumps({**GOOD, "id": "one", "tenant_id": "acme", "properties": {"a": 1.10}}))
    assert answer.status_code == 202
    said = answer.json()
    told = said.pop("min_offset")
    assert said == {"accepted": 1, "invalid": 0, "events": [{"index": 0, "status": "accepted", "id": "one"}]}
    (found,) = (event for event in events(kafka, module_prefix) if event["id"] == "one")
    timestamp = datetime.fromisoformat(found.pop("timestamp"))
    assert abs(datetime.now(UTC) - timestamp) < timedelta(minutes=1)
    assert found == {"id": "one", "tenant_id": "acme", "metric": "m", "quantity": "1.5", "properties": {"a": 1.1}}
    (record,) = (
        message for message in read_all(kafka, module_prefix + "usage.events") if b'"one"' in (message.value() or b"")
    )
    assert record.partition() == partition_of("acme", 4)
    assert told == f"{record.partition()}:{(record.offset() or 0) + 1}"


@pytest.mark.parametrize(
    ("content", "media_type", "ids"),
    [
        (json.dumps(GOOD), "application/json", ["a"]),
        (json.dumps(GOOD), "application/json; charset=utf-8", ["a"]),
        (body({"id": "x"}, {"id": "y"}), "application/json", ["x", "y"]),
        ("\n".join(json.dumps({**GOOD, "id": id}) for id in "pq"), "application/x-ndjson", ["p", "q"]),
        (json.dumps(CLOUD), "application/cloudevents+json", ["5:/shop7"]),
        (json.dumps([CLOUD, {**CLOUD, "id": "8"}]), "application/cloudevents-batch+json", ["5:/shop7", "5:/shop8"]),
    ],
)
def test_every_form_is_taken(shared: ApiProcess, content: str, media_type: str, ids: list[str]) -> None:
    answer = shared.send(content, media_type)
    assert answer.status_code == 202, answer.text
    assert [event["id"] for event in answer.json()["events"]] == ids


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_packed_bodies_are_taken(shared: ApiProcess, encoding: str, pack: Any) -> None:
    packed = pack(body({"id": encoding}).encode())
    assert shared.send(packed, Content_Encoding=encoding).status_code == 202
    problem(shared.send(packed[:-2], Content_Encoding=encoding), 400, "invalid_encoding")
    problem(shared.send(pack(bytes(1_000_000)), Content_Encoding=encoding), 413, "body_too_large")
    refused = shared.send(packed, Content_Encoding="br")
    problem(refused, 415, "unsupported_encoding")
    assert "gzip" in refused.headers["accept-encoding"]


def test_each_event_of_a_request_is_answered_in_order(shared: ApiProcess, kafka: str, module_prefix: str) -> None:
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    answer = shared.send(
        body({"id": "good-1"}, {"quantity": "x"}, {"tenant_id": 1}, {"id": "old", "timestamp": old}, {"id": "good-2"})
    )
    assert answer.status_code == 202
    found = answer.json()
    assert (found["accepted"], found["invalid"]) == (2, 3)
    assert [event["index"] for event in found["events"]] == [0, 1, 2, 3, 4]
    assert [event["status"] for event in found["events"]] == ["accepted", "invalid", "invalid", "invalid", "accepted"]
    assert [event.get("reason") for event in found["events"]] == [
        None, "invalid_event", "invalid_event", "too_old", None,
    ]  # fmt: skip
    sent = {event["id"] for event in events(kafka, module_prefix)}
    assert {"good-1", "good-2"} <= sent
    assert "old" not in sent


def test_a_request_in_which_nothing_can_count_is_a_problem_with_every_status(shared: ApiProcess) -> None:
    found = problem(shared.send(body({"quantity": "x"}, {"id": ""})), 400, "invalid_events")
    assert [event["status"] for event in found["events"]] == ["invalid", "invalid"]


def test_an_event_without_id_needs_an_idempotency_key(shared: ApiProcess) -> None:
    content = json.dumps({name: value for name, value in GOOD.items() if name != "id"})
    found = problem(shared.send(content), 400, "invalid_events")
    assert "Idempotency-Key" in found["detail"]
    first = shared.send(content, Idempotency_Key="key-1")
    again = shared.send(content, Idempotency_Key="key-1")
    other = shared.send(content, Idempotency_Key="key-2")
    assert [answer.status_code for answer in (first, again, other)] == [202, 202, 202]
    ids = [answer.json()["events"][0]["id"] for answer in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_an_idempotency_key_that_is_none_is_refused(shared: ApiProcess, key: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    answer = shared.client.post("/v1/events", content=json.dumps(GOOD), headers=headers)
    problem(answer, 400, "invalid_idempotency_key")


@pytest.mark.parametrize("content", ["", "{", "[", "nul", "[{]"])
def test_a_body_that_is_no_json_is_a_problem(shared: ApiProcess, content: str) -> None:
    problem(shared.send(content), 400, "invalid_json")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [("[]", "application/json"), ("\n \n", "application/x-ndjson"), ("[]", "application/cloudevents-batch+json")],
)
def test_no_events_are_a_problem(shared: ApiProcess, content: str, media_type: str) -> None:
    problem(shared.send(content, media_type), 400, "no_events")


def test_too_much_is_a_problem(shared: ApiProcess) -> None:
    problem(shared.send("x" * 100_001), 413, "body_too_large")
    problem(shared.send("\n".join(["{}"] * 501), "application/x-ndjson"), 413, "too_many_events")

    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1_000

    answer = shared.client.post("/v1/events", content=chunks(), headers={"Content-Type": "application/json"})
    problem(answer, 413, "body_too_large")


def test_another_media_type_is_a_problem_that_names_the_right_ones(shared: ApiProcess) -> None:
    answer = shared.send(json.dumps(GOOD), "text/plain")
    problem(answer, 415, "unsupported_media_type")
    assert "application/x-ndjson" in answer.headers["accept-post"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", KEY])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/events"), ("GET", "/v1/usage")])
def test_without_the_key_nobody_gets_in(shared: ApiProcess, method: str, path: str, authorization: str | None) -> None:
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    url = shared.client.base_url.join(path)
    answer = httpx.request(method, url, headers=headers, content="{", trust_env=False)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_is_not_there_is_a_problem_too(shared: ApiProcess) -> None:
    problem(shared.client.get("/v1/nothing"), 404, "not_found")
    answer = shared.client.get("/v1/events")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_requests_at_once_are_each_answered_for_their_own_events(
    shared: ApiProcess, kafka: str, module_prefix: str
) -> None:
    def send(number: int) -> list[str]:
        answer = shared.send(body(*({"id": f"many-{number}-{n}", "tenant_id": f"t{n}"} for n in range(20))))
        assert answer.status_code == 202, answer.text
        return [event["id"] for event in answer.json()["events"]]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(100)))
    assert answers == [[f"many-{number}-{n}" for n in range(20)] for number in range(100)]
    found = [event["id"] for event in events(kafka, module_prefix) if event["id"].startswith("many-")]
    assert sorted(found) == sorted(id for ids in answers for id in ids)


def test_every_outcome_is_counted(shared: ApiProcess) -> None:
    shared.send(body({}, {"quantity": "x"}))
    page = shared.client.get("/metrics").text
    for outcome in ("accepted", "invalid"):
        assert f'meterline_api_events_total{{outcome="{outcome}"}}' in page
    assert 'meterline_api_requests_total{path="/v1/events",status="202"}' in page
    assert "many-" not in page


def test_a_frozen_broker_is_a_503_with_every_status_and_the_request_can_be_repeated(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    create_topics(broker.bootstrap, prefix, 4)
    process = ApiProcess(broker.bootstrap, prefix, None, tmp_path)
    process.start()
    content = body({"id": "r1"}, {"id": "bad", "quantity": "x"}, {"id": "r2", "tenant_id": "u"})
    broker.pause()
    answer = process.send(content)
    found = problem(answer, 503, "kafka_unavailable")
    assert [(event["id"], event["status"]) for event in found["events"]] == [
        ("r1", "unknown"), ("bad", "invalid"), ("r2", "unknown"),
    ]  # fmt: skip
    assert answer.headers["retry-after"] == "1"
    broker.resume()
    answers: list[httpx.Response] = []

    def taken() -> bool:
        answers.append(process.send(content))
        return answers[-1].status_code == 202

    wait_until(taken, 60, "the same request is taken")
    assert [event["id"] for event in answers[-1].json()["events"]] == ["r1", "bad", "r2"]
    assert process.stop() == 0
    assert {event["id"] for event in events(broker.bootstrap, prefix)} == {"r1", "r2"}


def test_a_topic_with_another_partition_count_is_refused(kafka: str, topics: str, tmp_path: Path) -> None:
    from meterline_schemas.catalog import PARTITION_COUNT_KEY
    from tests.support.cluster import producer

    sender = producer(kafka)
    sender.produce(topics + "meterline.config", b'{"partitions":16}', key=PARTITION_COUNT_KEY)
    assert sender.flush(30) == 0
    process = ApiProcess(kafka, topics, None, tmp_path)
    process.start(ready=False)
    wait_until(lambda: process.client.get("/health/ready").status_code == 503, 30, "the other count is seen")
    wait_until(lambda: "16" in process.client.get("/health/ready").text, 30, "the other count is named")
    found = problem(process.send(json.dumps(GOOD)), 503, "kafka_unavailable")
    assert "16 partitions" in found["detail"]
    process.stop()
    assert events(kafka, topics) == []
