"""A FastAPI app under uvicorn, on the port PORT, metered where the word ``metered`` follows.

``python -m tests.benchmarks.processes.web_app PORT [metered]``, with METERLINE_* variables. Its tenant is known after a
dependency has looked at a header, as in most apps.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import Depends, FastAPI, Request

from meterline.middleware import state
from meterline.middleware.asgi import UsageMiddleware


def authenticate(request: Request) -> None:
    request.state.tenant_id = request.headers["x-api-key"]


def make(*, metered: bool) -> FastAPI:
    app = FastAPI(dependencies=[Depends(authenticate)])

    @app.get("/api/v1/items/{id}")
    async def item(id: int) -> dict[str, object]:
        return {"id": id, "name": "an item", "tags": ["a", "b"]}

    if metered:
        app.add_middleware(UsageMiddleware, tenant=state("tenant_id"), include=("/api/v1/*",))
    return app


if __name__ == "__main__":
    uvicorn.run(make(metered="metered" in sys.argv[2:]), port=int(sys.argv[1]), log_level="warning")
