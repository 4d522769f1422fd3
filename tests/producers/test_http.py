"""The SDK over HTTP: the same interface and the same promises, through the real API."""

from __future__ import annotations

import gzip
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import urllib3

from meterline import ConfigurationError, Limits, Problem, Stats, UsageProducer
from meterline.encoding import line_of
from meterline.http_transport import HttpTransport, seconds_of
from meterline.marks import marks
from meterline.records import Batch, into_records
from meterline.transport import Answer
from tests.api.process import KEY, ApiProcess
from tests.producers.reading import events
from tests.services.kafka import create_topics
from tests.support.streams import wait_until

FAST = Limits(report_seconds=0)


class Reply(NamedTuple):
    """What the gate says in the API's place; ``after``: once the API has taken the request."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    after: bool = False
    body: bytes = b"<html>busy</html>"


class Gate:
    """Stands before the API as a load balancer does, and answers in its place as often as ``replies`` says."""

    def __init__(self, api: str) -> None:
        self.replies: list[Reply] = []
        self.requests: list[tuple[float, int]] = []  # when, and how many events
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gate.requests.append((time.monotonic(), gzip.decompress(body).count(b"\n") + 1))
                reply = gate.replies.pop(0) if gate.replies else None
                more: Mapping[str, str] = {}
                if reply is None or reply.after:
                    headers = {name: value for name, value in self.headers.items() if name != "Host"}
                    answer = urllib3.request("POST", api + self.path, body=body, headers=headers, retries=False)
                    status, data = answer.status, answer.data
                if reply is not None:
                    status, more, data = reply.status, reply.headers, reply.body
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Api(NamedTuple):
    """An API that takes events, the same one for all of these tests."""

    url: str
    kafka: str
    prefix: str

    def taken(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """What Kafka holds of these events."""
        wanted = set(ids)
        return [event for event in events(self.kafka, self.prefix) if event["id"] in wanted]


@pytest.fixture(scope="module")
def api(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    prefix = f"h{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, 4)
    process = ApiProcess(kafka, prefix, None, tmp_path_factory.mktemp("api"))
    try:
        process.start()
        yield Api(str(process.client.base_url).rstrip("/"), kafka, prefix)
    finally:
        process.stop()


@pytest.fixture
def gate(api: Api) -> Iterator[Gate]:
    standing = Gate(api.url)
    yield standing
    standing.close()


def test_what_is_tracked_is_in_kafka_once_it_is_flushed(api: Api) -> None:
    with UsageProducer(url=api.url, api_key=KEY, source="shop") as producer:
        ids = [producer.track(f"tenant-{n % 7}", "orders", n, properties={"é": n}) for n in range(12_000)]
        assert producer.flush(60) == 0
        assert producer.stats() == Stats(tracked=12_000, acknowledged=12_000)
    found = api.taken(ids)
    assert Counter(event["id"] for event in found) == Counter(ids)
    assert {event["source"] for event in found} == {"shop"}


def test_the_spool_serves_http_too(gate: Gate, api: Api, tmp_path: Path) -> None:
    gate.replies = [Reply(503)] * 1_000
    first = UsageProducer(url=gate.url, api_key=KEY, spool=tmp_path / "spool")
    ids = {first.track("t", "m") for _ in range(500)}
    assert first.close(0.1) == 500
    gate.replies = []
    with UsageProducer(url=gate.url, api_key=KEY, spool=tmp_path / "spool") as second:
        assert second.flush(60) == 0
    assert {event["id"] for event in api.taken(ids)} == ids


@pytest.mark.parametrize("status", [429, 503, 500, 502, 401, 404, 200])
def test_an_answer_that_may_change_is_waited_out(gate: Gate, api: Api, status: int) -> None:
    gate.replies = [Reply(status)]
    problems: list[Problem] = []
    with UsageProducer(url=gate.url, api_key=KEY, limits=FAST, on_error=problems.append) as producer:
        ids = [producer.track("t", "m") for _ in range(10)]
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=10, acknowledged=10)
    assert sorted(event["id"] for event in api.taken(ids)) == sorted(ids)
    assert [problem.kind for problem in problems] == ["broker"]
    assert f"answered {status}" in problems[0].detail


@pytest.mark.parametrize(
    "after",
    [lambda: "2", lambda: format_datetime(datetime.fromtimestamp(time.time() + 3, UTC), usegmt=True)],
    ids=["seconds", "date"],
)
def test_no_request_comes_before_the_time_that_the_api_asks_for(gate: Gate, after: Callable[[], str]) -> None:
    gate.replies = [Reply(429, {"Retry-After": after()})]
    with UsageProducer(url=gate.url, api_key=KEY) as producer:
        producer.track("t", "m")
        assert producer.flush(30) == 0
    (first, _), (second, _) = gate.requests
    assert second - first >= 1.9


def test_an_answer_that_is_lost_counts_nothing_twice(gate: Gate, api: Api) -> None:
    gate.replies = [Reply(502, after=True)]
    with UsageProducer(url=gate.url, api_key=KEY) as producer:
        ids = [producer.track("t", "m") for _ in range(10)]
        assert producer.flush(30) == 0
    found = api.taken(ids)
    sent = Counter(event["id"] for event in found)
    assert sent.keys() == set(ids)
    assert set(sent.values()) | {1} == {1, 2}
    assert len({(event["id"], event["timestamp"]) for event in found}) == 10, "each is the same event again"


def test_a_request_that_is_too_large_is_sent_in_parts(gate: Gate, api: Api) -> None:
    gate.replies = [Reply(413), Reply(413)]
    made = [(*marks(), "t", "m") for _ in range(100)]
    lines = [line_of(id, tenant, metric, 1, now, None, None, None) for id, now, tenant, metric in made]
    batch = Batch.of([("t", line, len(line)) for line in lines])
    (record,) = into_records(batch, 1, 1_000, 1_000_000)
    answered: list[tuple[int, Answer]] = []
    transport = HttpTransport(gate.url, KEY, lambda part, answer: answered.append((part.events, answer)))
    assert transport.send(record)
    for _ in range(5):
        transport.poll(0)
    transport.close()
    assert answered == [(25, Answer()), (25, Answer()), (50, Answer())]
    ids = [id for id, *_ in made]
    assert sorted(event["id"] for event in api.taken(ids)) == sorted(ids)
    assert [number for _when, number in gate.requests] == [100, 50, 25, 25, 50]


def test_events_that_the_api_refuses_fail_and_the_others_count(api: Api) -> None:
    problems: list[Problem] = []
    with UsageProducer(url=api.url, api_key=KEY, limits=FAST, on_error=problems.append) as producer:
        bad = producer.track("t", "m", timestamp=datetime(1999, 1, 1, tzinfo=UTC))
        good = producer.track("t", "m")
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=2, acknowledged=1, failed=1)
    assert [event["id"] for event in api.taken([bad, good])] == [good]
    (problem,) = problems
    assert (problem.kind, problem.events) == ("failed", 1)
    assert "timestamp is before" in problem.detail


def test_events_wait_for_an_api_that_is_away() -> None:
    problems: list[Problem] = []
    producer = UsageProducer(url="http://127.0.0.1:1", api_key=KEY, limits=FAST, on_error=problems.append)
    producer.track("t", "m")
    wait_until(lambda: bool(problems), 30, "the API is missed")
    assert "http://127.0.0.1:1/v1/events cannot be reached: " in problems[0].detail
    assert "object at" not in problems[0].detail
    assert producer.stats() == Stats(tracked=1, pending=1)
    assert producer.close(0.1) == 1


def test_the_key_is_told_to_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    problems: list[Problem] = []
    secret = "a-key-to-be-kept"
    producer = UsageProducer(url="http://127.0.0.1:1", api_key=secret, limits=FAST, on_error=problems.append)
    producer.track("t", "m")
    wait_until(lambda: bool(problems), 30, "a problem is told")
    producer.close(0.1)
    assert secret not in f"{producer!r} {vars(producer)!r} {problems} {caplog.text}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "meter.example", "api_key": KEY}, "https://"),
        ({"url": "https://meter.example"}, "METERLINE_API_KEY"),
        ({"url": "https://meter.example", "api_key": KEY, "bootstrap_servers": "kafka:9092"}, "not both"),
        ({}, "METERLINE_API_URL"),
    ],
)
def test_wrong_settings_are_told_when_the_producer_is_made(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        UsageProducer(**arguments)  # type: ignore[arg-type]


def test_the_environment_may_name_the_api(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_API_URL", api.url)
    monkeypatch.setenv("METERLINE_API_KEY", KEY)
    with UsageProducer() as producer:
        id = producer.track("t", "m")
        assert producer.flush(30) == 0
    assert len(api.taken([id])) == 1


@pytest.mark.parametrize("key", ["mk_secret\n", "mk_sécret"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="newline") as raised:
        UsageProducer(url="https://meter.example", api_key=key)
    assert "mk_" not in str(raised.value)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, body=b"\xff{"),
        Reply(202, body=b'{"events":' + b'{"a":' * 5_000),
        Reply(429, {"Retry-After": "Fri, 31 Dec 9999999 23:59:59 GMT"}),
        Reply(307, {"Location": "http://[::1"}),
        Reply(202, body=b'{"events": [' + b" " * 9_000_000 + b"]}"),
    ],
    ids=["text", "nested", "date", "location", "endless"],
)
def test_whatever_is_answered_the_events_are_sent_again(gate: Gate, api: Api, reply: Reply) -> None:
    gate.replies = [reply]
    with UsageProducer(url=gate.url, api_key=KEY) as producer:
        ids = [producer.track("t", "m") for _ in range(10)]
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=10, acknowledged=10)
    assert {event["id"] for event in api.taken(ids)} == set(ids)


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("0", 0), ("-5", 0), ("1e9", 600), ("nan", 0), ("soon", 0), ("", 0)]
)
def test_retry_after_is_read_as_far_as_it_makes_sense(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
