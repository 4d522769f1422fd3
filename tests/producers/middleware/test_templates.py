"""The template of the route that answered, through the real routers of FastAPI and Starlette."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from meterline.middleware import header
from meterline.middleware.asgi import UsageMiddleware
from tests.producers.middleware.recording import Recording


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def number(id: int) -> int:
    return id


def fastapi_app(folder: Path) -> FastAPI:
    app, inner, router, mounting = FastAPI(), FastAPI(), APIRouter(prefix="/of/{team}"), APIRouter()
    app.get("/items/{id}")(number)
    router.get("/files/{id:path}")(number)
    inner.get("/items/{id}")(number)
    inner.include_router(router)
    mounting.mount("/deep/{level}", inner)
    app.include_router(router, prefix="/api/v1")
    app.include_router(mounting, prefix="/inc")
    app.mount("/apps/{id}", inner)
    app.mount("/static", StaticFiles(directory=folder))
    return app


def starlette_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/items/{id:int}", hello),
            Mount("/a/{id}", routes=[Route("/{id}", hello), Mount("/b", Router([Route("/{x:path}", hello)]))]),
            Host("api.example", Router([Route("/hosted/{id}", hello)])),
        ]
    )


def template(app: Any, path: str, host: str = "app") -> str:
    """Of the one request that is made."""
    recording = Recording()
    metered = UsageMiddleware(
        app, tenant=header("x-tenant"), statuses=("2xx", "4xx"), endpoint=None, producer=recording
    )

    async def ask() -> None:
        transport = httpx.ASGITransport(app=metered)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            await client.get(path, headers={"x-tenant": "acme"})

    asyncio.run(ask())
    assert sum(metered.stats().skipped.values()) + len(recording.tracked) == 1
    return recording.endpoints()[0] if recording.tracked else ""


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/items/7", "/items/{id}"),
        ("/items/no-number", "/items/{id}"),
        ("/api/v1/of/red/files/7", "/api/v1/of/{team}/files/{id}"),
        ("/api/v1/of/red/files/a/b/c", "/api/v1/of/{team}/files/{id}"),
        ("/apps/anna/items/7", "/apps/{id}/items/{id}"),
        ("/apps/anna/of/red/files/7", "/apps/{id}/of/{team}/files/{id}"),
        ("/inc/deep/anna/items/7", "/inc/deep/{level}/items/{id}"),
        ("/inc/deep/anna/of/red/files/7", "/inc/deep/{level}/of/{team}/files/{id}"),
        ("/static/a.txt", "/static/{path}"),
        ("/nowhere/anna", ""),
    ],
)
def test_fastapi(tmp_path: Path, path: str, wanted: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert template(fastapi_app(tmp_path), path) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/items/7", "/items/{id}"),
        ("/a/anna/7", "/a/{id}/{id}"),
        ("/a/anna/b/c/d", "/a/{id}/b/{x}"),
        ("/nowhere", ""),
    ],
)
def test_starlette(path: str, wanted: str) -> None:
    assert template(starlette_app(), path) == wanted


def test_routes_of_a_host() -> None:
    assert template(starlette_app(), "/hosted/7", host="api.example") == "/hosted/{id}"


def test_a_starlette_that_does_not_say_which_route_it_chose() -> None:
    class Forgets:
        """As those before 1.0 did."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def forgetting(message: Any) -> None:
                scope.pop("route", None)
                await send(message)

            await self.app(scope, receive, forgetting)

    app = Forgets(starlette_app())
    assert template(app, "/items/7") == "/items/{id}"
    assert template(app, "/a/anna/b/c/d") == "/a/{id}/b/{x}"
    assert template(app, "/nowhere") == ""
