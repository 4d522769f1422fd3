"""Flask under wsgiref, whose validator looks at both sides of the middleware; events read from the broker."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.validate import validator

import httpx
import pytest
from flask import Flask, Response, abort, g, request, send_file, stream_with_context

from meterline import UsageProducer
from meterline.middleware import MiddlewareStats, header, state, user
from meterline.middleware.wsgi import UsageMiddleware
from tests.producers.middleware import serving
from tests.producers.middleware.recording import Recording
from tests.producers.reading import create_topic, events
from tests.support.streams import wait_until

HEADERS = {"x-api-key": "acme"}


@pytest.fixture
def producer(kafka: str, prefix: str) -> Iterator[UsageProducer]:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix) as made:
        yield made


def service(folder: Path | None = None) -> Flask:
    app = Flask(__name__)

    @app.before_request
    def authenticate() -> None:
        g.tenant_id = request.headers.get("x-api-key") or abort(401)

    @app.get("/api/v1/items/<int:id>")
    def item(id: int) -> str:
        if id == 13:
            raise RuntimeError("a bug of the app")
        return str(id)

    @app.post("/api/v1/upload")
    def upload() -> str:
        return str(len(request.get_data()))

    @app.get("/stream")
    def stream() -> Response:
        def pieces() -> Iterator[bytes]:
            for length in (1, 20_000, 3):
                yield b"s" * length

        return Response(stream_with_context(pieces()))

    @app.get("/endless")
    def endless() -> Response:
        def pieces() -> Iterator[bytes]:
            while True:
                yield b"s" * 1_000

        return Response(pieces())

    @app.get("/file")
    def file() -> Response:
        assert folder is not None
        return send_file(folder / "file", mimetype="text/plain")

    return app


def metered(app: Any, **options: Any) -> tuple[Any, UsageMiddleware]:
    """What a server runs, with the validator on both sides, and the middleware in it."""
    found = UsageMiddleware(validator(app), **{"tenant": lambda _environ: g.tenant_id, **options})
    return validator(found), found


def test_every_call_counts_once_with_flasks_rule_and_what_authentication_found(
    kafka: str, prefix: str, producer: UsageProducer
) -> None:
    app, middleware = metered(
        service(),
        subject=lambda _environ: g.tenant_id + "-user",
        properties=lambda environ: {"agent": environ["HTTP_USER_AGENT"]},
        include=("/api/v1/*",),
        producer=producer,
    )
    with serving.wsgi(app) as base, httpx.Client(base_url=base, headers=HEADERS | {"user-agent": "t"}) as client:
        counted = [client.get(f"/api/v1/items/{n + 100}").status_code for n in range(40)]
        passed_over = [
            client.get(path, headers=headers).status_code
            for path, headers in (
                ("/api/v1/items/13", {}),
                ("/api/v1/nowhere", {}),
                ("/api/v1/items/7", {"x-api-key": ""}),
                ("/stream", {}),
            )
        ]
    assert set(counted) == {200}
    assert passed_over == [500, 404, 401, 200]
    assert producer.flush(30) == 0
    found = events(kafka, prefix)
    assert len({event["id"] for event in found}) == len(found) == 40
    wanted = {"endpoint": "/api/v1/items/<int:id>", "method": "GET", "status": 200, "agent": "t"}
    for event in found:
        assert (event["tenant_id"], event["subject"], event["quantity"]) == ("acme", "acme-user", "1")
        assert event["properties"] == wanted
    assert middleware.stats() == MiddlewareStats(counted=40, skipped={"status": 3})


def test_as_flasks_own_idiom_has_it() -> None:
    app, recording = service(), Recording()
    app.wsgi_app = UsageMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, tenant=lambda _environ: g.tenant_id, producer=recording
    )
    assert app.test_client().get("/api/v1/items/7", headers=HEADERS, buffered=True).status_code == 200
    assert recording.endpoints() == ["/api/v1/items/<int:id>"]


def test_bytes_out_are_those_of_streamed_pieces_files_and_plain_answers(
    kafka: str, prefix: str, producer: UsageProducer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    app, _middleware = metered(service(tmp_path), quantity="bytes_out", producer=producer)
    with serving.wsgi(app) as base, httpx.Client(base_url=base, headers=HEADERS) as client:
        got = {path: str(len(client.get(path).content)) for path in ("/stream", "/file", "/api/v1/items/77")}
        assert client.head("/file").status_code == 200
    assert got == {"/stream": "20004", "/file": "300000", "/api/v1/items/77": "2"}
    assert producer.flush(30) == 0
    found = sorted((event["properties"]["endpoint"], event["quantity"]) for event in events(kafka, prefix))
    assert found == [("/api/v1/items/<int:id>", "2"), ("/file", "0"), ("/file", "300000"), ("/stream", "20004")]


def test_bytes_in_are_those_that_the_app_read() -> None:
    recording = Recording()
    app, _middleware = metered(service(), quantity="bytes_in", producer=recording)
    with serving.wsgi(app) as base, httpx.Client(base_url=base, headers=HEADERS) as client:
        assert client.post("/api/v1/upload", content=b"u" * 123_456).text == "123456"
        assert client.get("/api/v1/items/1").status_code == 200
    assert [each["quantity"] for each in recording.tracked] == [123_456, 0]


def test_a_client_that_goes_away_pays_what_was_sent_before() -> None:
    recording = Recording()
    middleware = UsageMiddleware(
        service(), tenant=lambda _environ: g.tenant_id, quantity="bytes_out", producer=recording
    )
    with serving.wsgi(middleware) as base:
        with socket.create_connection((urlsplit(base).hostname, urlsplit(base).port), timeout=30) as connection:
            connection.sendall(b"GET /endless HTTP/1.0\r\nX-Api-Key: acme\r\n\r\n")
            received = 0
            while received < 20_000:
                received += len(connection.recv(4_000))
        wait_until(lambda: bool(recording.tracked), 30, "the answer to end")
    sent = recording.tracked[0]["quantity"]
    assert sent % 1_000 == 0
    assert sent >= received - 1_000  # the head of the answer is among what was received


def test_an_answer_is_closed_and_counts_then() -> None:
    recording, happened = Recording(), []

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            yield b"three"

        def close(self) -> None:
            happened.append(f"closed, {len(recording.tracked)} tracked")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return Answer()

    middleware = UsageMiddleware(
        app, tenant=header("X-Tenant"), quantity="bytes_out", endpoint=state("where"), producer=recording
    )
    environ = {
        "wsgi.version": (1, 0), "REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_TENANT": "acme", "where": "/",
        "wsgi.input": io.BytesIO(),
    }  # fmt: skip
    answer = middleware(dict(environ), lambda *_start: None)
    assert b"".join(answer) == b"onethree"
    assert not recording.tracked
    answer.close()  # type: ignore[attr-defined]
    answer.close()  # type: ignore[attr-defined]
    left_early = middleware(dict(environ), lambda *_start: None)
    assert next(iter(left_early)) == b"one"
    left_early.close()  # type: ignore[attr-defined]
    assert happened[0] == "closed, 0 tracked"
    assert [each["quantity"] for each in recording.tracked] == [8, 0]


def test_what_write_sends_counts_too_and_one_piece_keeps_its_length() -> None:
    recording = Recording()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/write":
            start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
            return [b"!"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a piece"]

    middleware = UsageMiddleware(
        app,
        tenant=lambda _environ: "acme",
        quantity="bytes_out",
        endpoint=lambda environ: environ["PATH_INFO"],
        producer=recording,
    )
    with serving.wsgi(middleware) as base:
        assert httpx.get(base + "/write").text == "written!"
        assert httpx.get(base + "/piece").headers["content-length"] == "7"
    assert [each["quantity"] for each in recording.tracked] == [8, 7]


def test_an_app_that_raises_is_a_500_of_its_server() -> None:
    recording = Recording()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise RuntimeError("a bug of the app")

    options: dict[str, Any] = {"tenant": lambda _e: "acme", "endpoint": lambda _e: "/", "producer": recording}
    silent, told = UsageMiddleware(app, **options), UsageMiddleware(app, statuses=("5xx",), **options)
    for each in (silent, told):
        with pytest.raises(RuntimeError, match="a bug"):
            each({"PATH_INFO": "/", "REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}, lambda *_start: None)
    assert silent.stats() == MiddlewareStats(skipped={"status": 1})
    assert [each["status"] for each in recording.tracked] == [500]


def test_seconds_and_paths_with_a_script_name_and_other_letters() -> None:
    recording = Recording()
    middleware = UsageMiddleware(
        service(), tenant=lambda _e: g.tenant_id, quantity="seconds", include=("/bücher/*",), producer=recording
    )

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        environ["SCRIPT_NAME"] = "/bücher".encode().decode("latin-1")
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/bücher".encode().decode("latin-1"))
        return middleware(environ, start_response)

    with serving.wsgi(mounted) as base:
        assert httpx.get(base + "/bücher/api/v1/items/1", headers=HEADERS).status_code == 200
    (only,) = recording.tracked
    assert only["endpoint"] == "/api/v1/items/<int:id>"
    assert isinstance(only["quantity"], Decimal)
    assert only["quantity"] > 0


def test_no_user_is_known_in_wsgi_and_the_sentence_says_what_to_pass(caplog: pytest.LogCaptureFixture) -> None:
    middleware = UsageMiddleware(service(), tenant=user("org_id"), producer=Recording())
    with serving.wsgi(middleware) as base:
        assert httpx.get(base + "/api/v1/items/1", headers=HEADERS).status_code == 200
    assert middleware.stats() == MiddlewareStats(skipped={"tenant_failed": 1})
    assert "in Flask like tenant=lambda environ: g.org_id" in caplog.text
