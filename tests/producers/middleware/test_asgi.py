"""FastAPI under uvicorn, its events read from the broker."""

from __future__ import annotations

import asyncio
import http.client
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from starlette.responses import FileResponse, StreamingResponse

from meterline import UsageProducer
from meterline.middleware import MiddlewareStats, header, state, stats, user
from meterline.middleware.asgi import UsageMiddleware
from tests.producers.middleware import serving
from tests.producers.middleware.recording import Recording
from tests.producers.reading import create_topic, events
from tests.support.streams import wait_until


@pytest.fixture
def producer(kafka: str, prefix: str) -> Iterator[UsageProducer]:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix) as made:
        yield made


def authenticate(request: Request) -> None:
    """The tenant is known only once the app has looked at the key."""
    key = request.headers.get("authorization", "")
    if not key.startswith("Bearer "):
        raise HTTPException(401)
    request.state.tenant_id = key.removeprefix("Bearer ")


def service() -> FastAPI:
    app = FastAPI(dependencies=[Depends(authenticate)])

    @app.get("/api/v1/items/{id}")
    async def item(id: int) -> int:
        if id == 13:
            raise RuntimeError("a bug of the app")
        return id

    @app.post("/api/v1/items")
    async def add(request: Request) -> int:
        return len(await request.body())

    @app.get("/health")
    async def health() -> str:
        return "well"

    return app


def ask(base: str, path: str, tenant: str | None = "acme", method: str = "GET", **more: Any) -> int:
    headers = {"authorization": f"Bearer {tenant}"} if tenant is not None else {}
    return httpx.request(method, base + path, headers=headers, timeout=30, **more).status_code


def test_every_call_counts_once_for_its_tenant_with_template_method_and_status(
    kafka: str, prefix: str, producer: UsageProducer
) -> None:
    metered = UsageMiddleware(service(), tenant=state("tenant_id"), include=("/api/v1/*",), producer=producer)
    with serving.asgi(metered) as base, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ask(base, f"/api/v1/items/{n + 100}", f"tenant-{n % 3}"), range(150)))
        answers += [ask(base, "/api/v1/items", "acme", "POST", content=b"x")]
        passed_over = [
            ask(base, "/health"),
            ask(base, "/api/v1/items/7", None),
            ask(base, "/api/v1/nowhere/anna"),
            ask(base, "/api/v1/items/anna"),
            ask(base, "/api/v1/items/13"),
        ]
    assert set(answers) == {200}
    assert passed_over == [200, 401, 404, 422, 500]
    assert producer.flush(30) == 0
    found = events(kafka, prefix)
    assert len({event["id"] for event in found}) == len(found) == 151
    assert {event["metric"] for event in found} == {"api_calls"}
    assert {event["quantity"] for event in found} == {"1"}
    seen = Counter((event["tenant_id"], *event["properties"].values()) for event in found)
    assert seen == {
        **{(f"tenant-{n}", "/api/v1/items/{id}", "GET", 200): 50 for n in range(3)},
        ("acme", "/api/v1/items", "POST", 200): 1,
    }
    assert metered.stats() == MiddlewareStats(counted=151, skipped={"status": 4})
    assert stats().counted >= 151


def test_bytes_out_are_those_of_streamed_pieces_files_and_plain_answers(
    kafka: str, prefix: str, producer: UsageProducer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for length in (1, 20_000, 0, 3):
                yield b"s" * length

        return StreamingResponse(pieces())

    @app.api_route("/file", methods=["GET", "HEAD"])
    def file() -> FileResponse:
        return FileResponse(tmp_path / "file")

    @app.get("/plain")
    def plain() -> str:
        return "p" * 8

    metered = UsageMiddleware(
        app, "egress", tenant=header("X-Tenant"), quantity="bytes_out", statuses=("200-299",), producer=producer
    )
    with serving.asgi(metered) as base, httpx.Client(base_url=base, headers={"x-tenant": "acme"}) as client:
        got = {path: str(len(client.get(path).content)) for path in ("/stream", "/file", "/plain")}
        part = client.get("/file", headers={"range": "bytes=100-199"})
        assert (part.status_code, len(part.content)) == (206, 100)
        assert client.head("/file").status_code == 200
    assert got == {"/stream": "20004", "/file": "300000", "/plain": "10"}
    assert producer.flush(30) == 0
    found = [(each["properties"]["endpoint"], each["quantity"], each["metric"]) for each in events(kafka, prefix)]
    counted = [(path, size, "egress") for path, size in got.items()]
    assert sorted(found) == sorted([*counted, ("/file", "100", "egress"), ("/file", "0", "egress")])


def test_bytes_in_are_those_that_the_app_read_chunked_or_not(kafka: str, prefix: str, producer: UsageProducer) -> None:
    def chunks() -> Iterator[bytes]:
        for length in (10, 70_000, 5):
            yield b"c" * length

    metered = UsageMiddleware(service(), "ingress", tenant=state("tenant_id"), quantity="bytes_in", producer=producer)
    with serving.asgi(metered) as base:
        assert ask(base, "/api/v1/items", "chunked", "POST", content=chunks()) == 200
        assert ask(base, "/api/v1/items", "known", "POST", content=b"k" * 123_456) == 200
        assert ask(base, "/api/v1/items/1", "none") == 200
    assert producer.flush(30) == 0
    found = {event["tenant_id"]: event["quantity"] for event in events(kafka, prefix)}
    assert found == {"chunked": "70015", "known": "123456", "none": "0"}


def test_a_client_that_goes_away_pays_what_was_sent_before(kafka: str, prefix: str, producer: UsageProducer) -> None:
    app = FastAPI()
    piece, handed = b"s" * 1_000, 0

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal handed
            while True:
                yield piece
                handed += 1
                await asyncio.sleep(0.001)

        return StreamingResponse(pieces())

    metered = UsageMiddleware(app, tenant=header("x-tenant"), quantity="bytes_out", producer=producer)
    with serving.asgi(metered) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        connection.request("GET", "/endless", headers={"x-tenant": "acme"})
        answer = connection.getresponse()
        received = len(answer.read(20_000))
        answer.close()
        connection.close()
        wait_until(lambda: metered.stats().counted == 1, 30, "the answer to end")
    assert producer.flush(30) == 0
    (event,) = events(kafka, prefix)
    sent = int(event["quantity"])
    assert received <= sent <= (handed + 1) * len(piece)
    assert sent % len(piece) == 0


def test_seconds_are_those_until_the_answers_end_not_of_what_the_app_does_after_it() -> None:
    app, go_on, recording = FastAPI(), threading.Event(), Recording()

    @app.get("/slow")
    async def slow(tasks: BackgroundTasks) -> str:
        tasks.add_task(go_on.wait, 30)
        await asyncio.sleep(0.02)
        return "answered"

    with serving.asgi(UsageMiddleware(app, tenant=header("x-tenant"), quantity="seconds", producer=recording)) as base:
        began = time.monotonic()
        assert httpx.get(base + "/slow", headers={"x-tenant": "acme"}).status_code == 200
        wait_until(lambda: bool(recording.tracked), 10, "the call to be tracked while its background task runs")
        most = time.monotonic() - began
        go_on.set()
    took = recording.tracked[0]["quantity"]
    assert isinstance(took, Decimal)
    assert Decimal("0.019") < took < Decimal(most)
    assert took.as_tuple().exponent == -9


def test_an_extractor_that_fails_breaks_no_answer_and_is_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(_request: Any) -> Any:
        raise KeyError("no such thing")

    recording = Recording()
    options: dict[str, dict[str, Any]] = {
        "tenant_failed": {"tenant": failing},
        "no_tenant": {"tenant": header("x-nobody-sends-this")},
        "quantity_failed": {"tenant": state("tenant_id"), "quantity": failing},
        "endpoint_failed": {"tenant": state("tenant_id"), "endpoint": failing},
        "incomplete": {"tenant": state("tenant_id"), "properties": failing},
    }
    found = {}
    with caplog.at_level(logging.WARNING, "meterline"):
        for reason, each in options.items():
            metered = UsageMiddleware(service(), producer=recording, **each)
            with serving.asgi(metered) as base:
                assert [ask(base, "/api/v1/items/1") for _ in range(3)] == [200] * 3
            found[reason] = metered.stats()
    assert {reason: each.skipped for reason, each in found.items()} == {
        **{reason: {reason: 3} for reason in options},
        "incomplete": {},
    }
    assert found["incomplete"] == MiddlewareStats(counted=3, incomplete=3)
    assert [each["endpoint"] for each in recording.tracked] == ["/api/v1/items/{id}"] * 3
    for reason in options:
        assert sum(f"({reason})" in message for message in caplog.messages) == 1, caplog.messages


def test_what_the_producer_refuses_breaks_no_answer(producer: UsageProducer) -> None:
    metered = UsageMiddleware(service(), tenant=lambda _request: "x" * 1_000, producer=producer)
    unset = UsageMiddleware(service(), tenant=state("tenant_id"))  # METERLINE_KAFKA is not set
    for each in (metered, unset):
        with serving.asgi(each) as base:
            assert ask(base, "/api/v1/items/1") == 200
        assert each.stats() == MiddlewareStats(skipped={"refused": 1})


def test_subject_user_and_properties_come_from_the_request_after_the_app() -> None:
    app, recording = FastAPI(), Recording()

    class User:
        org_id = 17
        name = "user-3"

    @app.get("/tokens")
    async def tokens(request: Request) -> str:
        request.scope["user"] = User()
        request.state.tokens = 41
        return "done"

    metered = UsageMiddleware(
        app,
        "tokens",
        tenant=user("org_id"),
        subject=user("name"),
        quantity=lambda request: request.state.tokens,
        properties=lambda request: {"model": request.query_params["model"]},
        producer=recording,
    )
    with serving.asgi(metered) as base:
        assert httpx.get(base + "/tokens?model=large").status_code == 200
    assert recording.tracked == [
        {
            "tenant": "17", "metric": "tokens", "quantity": 41, "subject": "user-3",
            "endpoint": "/tokens", "method": "GET", "status": 200, "model": "large",
        }
    ]  # fmt: skip


def test_as_a_middleware_of_fastapi_and_the_lifespan_passes_through() -> None:
    recording, lived = Recording(), []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        lived.append("began")
        yield
        lived.append("ended")

    app = FastAPI(lifespan=lifespan)

    @app.get("/x/{y}")
    def x(y: str) -> str:
        return y

    app.add_middleware(UsageMiddleware, tenant=header("x-tenant"), producer=recording)
    with serving.asgi(app) as base:
        assert httpx.get(base + "/x/1", headers={"x-tenant": "acme"}).status_code == 200
    assert lived == ["began", "ended"]
    assert recording.endpoints() == ["/x/{y}"]


def test_websockets_and_paths_that_are_not_included_get_the_servers_own_callables() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        pass

    metered = UsageMiddleware(app, tenant=header("x-tenant"), include=("/api/*",), producer=Recording())
    scopes = [{"type": "websocket", "path": "/api/x"}, {"type": "http", "path": "/x"}]
    for scope in scopes:
        asyncio.run(metered(scope, receive, send))
    assert seen == [(scope, receive, send) for scope in scopes]
    assert metered.stats() == MiddlewareStats()


def test_what_was_counted_is_sent_before_uvicorn_ends_by_sigterm(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    app = "tests.producers.middleware.sites.fastapi_site:app"
    command = ("uvicorn", "--port", "{port}", app)
    with serving.process(*command, METERLINE_KAFKA=kafka, METERLINE_TOPIC_PREFIX=prefix) as base:
        assert [ask(base, f"/items/{n}") for n in range(5)] == [200] * 5
    assert [event["properties"]["endpoint"] for event in events(kafka, prefix)] == ["/items/{id}"] * 5


def test_an_app_without_routes_counts_where_endpoint_names_what_it_does() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})

    recording = Recording()
    silent = UsageMiddleware(app, tenant=header("x-tenant"), producer=recording)
    named = UsageMiddleware(app, tenant=header("x-tenant"), endpoint=lambda _request: "(app)", producer=recording)
    for each in (silent, named):
        with serving.asgi(each) as base:
            assert httpx.get(base + "/anna", headers={"x-tenant": "acme"}).status_code == 200
    assert silent.stats() == MiddlewareStats(skipped={"unmatched": 1})
    assert recording.endpoints() == ["(app)"]


def test_what_an_app_sends_after_it_was_told_that_the_client_is_gone_is_not_counted() -> None:
    recording = Recording()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"heard", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"unheard"})

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    metered = UsageMiddleware(
        app, tenant=lambda _r: "acme", quantity="bytes_out", endpoint=lambda _r: "/", producer=recording
    )
    asyncio.run(metered({"type": "http", "path": "/", "method": "GET", "headers": []}, gone, send))
    assert [each["quantity"] for each in recording.tracked] == [5]


def test_a_body_that_comes_in_pieces_is_added_up() -> None:
    recording, pieces = Recording(), [b"one", b"", b"three"]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(_message: Any) -> None:
        pass

    metered = UsageMiddleware(
        app, tenant=lambda _r: "acme", quantity="bytes_in", endpoint=lambda _r: "/", producer=recording
    )
    asyncio.run(metered({"type": "http", "path": "/", "method": "POST", "headers": []}, receive, send))
    assert [each["quantity"] for each in recording.tracked] == [8]


def test_a_file_that_the_server_sends_by_itself_counts_its_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"f" * 1_234)
    recording = Recording()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    async def nothing(*_message: Any) -> Any:
        return {"type": "http.request"}

    metered = UsageMiddleware(
        app, tenant=lambda _r: "acme", quantity="bytes_out", endpoint=lambda _r: "/f", producer=recording
    )
    scope = {"type": "http", "path": "/f", "method": "GET", "headers": []}
    asyncio.run(metered(scope, nothing, nothing))
    assert [each["quantity"] for each in recording.tracked] == [1_234]
