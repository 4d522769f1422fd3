"""A small service that meters what its customers use: one producer, one ``track`` where something billable happens.

    python examples/metered_service/app.py --port 8000

Kafka is found as the SDK finds it, by METERLINE_KAFKA: ``eval "$(meterline env)"`` sets it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel, Field

from meterline import UsageProducer


class Order(BaseModel):
    items: Annotated[int, Field(ge=1, le=1000)]


class File(BaseModel):
    gigabytes: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=6)]


class Job(BaseModel):
    model: str
    seconds: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=3)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.usage = UsageProducer(source="metered-service")
    yield
    app.state.usage.close()  # sends what waits


app = FastAPI(title="Metered service", lifespan=lifespan)
stored: defaultdict[str, Decimal] = defaultdict(Decimal)


async def tenant(x_tenant: Annotated[str, Header(min_length=1, max_length=64)]) -> str:
    """Who calls. A real service would know from the caller's token. Every call is metered."""
    usage().track(x_tenant, "api_calls")
    return x_tenant


Tenant = Annotated[str, Depends(tenant)]


def usage() -> UsageProducer:
    producer: UsageProducer = app.state.usage
    return producer


@app.post("/v1/orders", status_code=201)
async def create_order(order: Order, tenant: Tenant) -> dict[str, str]:
    return {"order": usage().track(tenant, "orders", properties={"items": order.items})}


@app.post("/v1/files", status_code=201)
async def store_file(file: File, tenant: Tenant) -> dict[str, str]:
    stored[tenant] += file.gigabytes
    usage().track(tenant, "storage_gb", stored[tenant])
    return {"stored_gigabytes": str(stored[tenant])}


@app.post("/v1/ai/jobs", status_code=202)
async def run_job(job: Job, tenant: Tenant) -> dict[str, str]:
    return {"job": usage().track(tenant, "ai_seconds", job.seconds, properties={"model": job.model})}


@app.get("/usage/stats")
async def stats() -> dict[str, int]:
    """How the producer is: what it tracked, and what Kafka acknowledged."""
    found = usage().stats()
    return {
        "tracked": found.tracked,
        "acknowledged": found.acknowledged,
        "failed": found.failed,
        "dropped": found.dropped,
        "pending": found.pending,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small metered service")
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default 8000)")
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
