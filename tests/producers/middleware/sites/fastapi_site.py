"""An app with one route, metered."""

from __future__ import annotations

from fastapi import FastAPI

from meterline.middleware.asgi import UsageMiddleware

app = FastAPI()
app.add_middleware(UsageMiddleware, tenant=lambda _request: "acme")


@app.get("/items/{id}")
async def item(id: int) -> int:
    return id
