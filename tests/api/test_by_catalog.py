"""What answers from the whole catalog says nothing before it is read."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from meterline_api.by_catalog import BY_CATALOG
from meterline_api.error_answers import answer_errors


def test_before_the_catalog_is_read_it_is_said_so_and_after_that_answered() -> None:
    app = FastAPI()
    read = [False]
    app.state.catalog_ready = lambda: read[0]

    @app.get("/billed", dependencies=[BY_CATALOG])
    async def billed() -> list[str]:
        return []

    answer_errors(app)

    async def ask() -> Response:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://api") as client:
            return await client.get("/billed")

    refused = asyncio.run(ask())
    assert (refused.status_code, refused.json()["code"]) == (503, "kafka_unavailable")
    assert "Retry-After" in refused.headers
    read[0] = True
    assert asyncio.run(ask()).status_code == 200
