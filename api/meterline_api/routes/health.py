"""``/health`` for people and monitors, ``/health/live`` and ``/health/ready`` for orchestrators, ``/metrics``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from meterline_api import metrics
from meterline_api.models import HealthAnswer, LiveAnswer, ReadyAnswer
from meterline_api.service import Service

router = APIRouter(tags=["health"])

_UNWELL: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthAnswer, "description": "Something is wrong: it says what."}
}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ReadyAnswer, "description": "Events are not taken."}}


@router.get("/health", response_model=HealthAnswer, responses=_UNWELL, summary="How everything is")
async def health(request: Request) -> Response:
    """200 where events are taken, counted, written and can be queried; 503 where any of it is not, with what is wrong.

    Looked at every few seconds, not at each request.
    """
    service: Service = request.app.state.service
    kafka, clickhouse = service.trouble(), service.watch.clickhouse_trouble
    groups = {name: group.detail() for name, group in service.watch.groups.items()}
    progressing = all(group["progressing"] for group in groups.values())
    body = {
        "live": True,
        "ready": not kafka,
        "progressing": progressing,
        "kafka": {"ok": not kafka, "problem": kafka or None},
        "clickhouse": {"ok": not clickhouse, "problem": clickhouse or None},
        **groups,
    }
    return _answer(body, ok=progressing and not kafka and not clickhouse)


@router.get("/health/live", response_model=LiveAnswer, summary="Whether the process runs")
async def live() -> Response:
    """200 while the process answers: restart it where it does not."""
    return _answer({"live": True}, ok=True)


@router.get("/health/ready", response_model=ReadyAnswer, responses=_NOT_READY, summary="Whether events are taken")
async def ready(request: Request) -> Response:
    """200 while Kafka can be reached: send it requests. ClickHouse may be away, which only `/v1/usage` needs."""
    trouble = request.app.state.service.trouble()
    metrics.READY.set(0 if trouble else 1)
    return _answer({"live": True, "ready": not trouble, "problem": trouble or None}, ok=not trouble)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def prometheus(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    metrics.READY.set(0 if request.app.state.service.trouble() else 1)
    now = datetime.now(UTC)
    await request.app.state.census.look(now)
    await request.app.state.billing_census.look(now)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _answer(body: dict[str, Any], *, ok: bool) -> Response:
    return Response(msgspec.json.encode(body), 200 if ok else 503, media_type="application/json")
