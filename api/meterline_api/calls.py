"""Callers' own requests as usage: requirement document 4's ``createUsageMiddleware``, of this API itself."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meterline_api import metrics
from meterline_api.access.principal import Principal
from meterline_api.door import Admitted, judge
from meterline_api.service import Service
from meterline_api.submissions import Submission
from meterline_schemas.errors import MeterlineError

log = logging.getLogger(__name__)

INGEST: Final = frozenset(
    {"/v1/events", "/api/v1/events", "/api/usage/track", "/api/billing/track/{metric}", "/usage/report"}
)
"""Where usage is sent: to count these too would count a customer's metering."""

_MOST_WAITING: Final = 10_000
_SAID_EVERY: Final = 60.0  # seconds
_ONE: Final = msgspec.Raw(b"1")


class Calls:
    """Counts each request of a caller who stands for one tenant, once it was answered, as an event of ``metric``.

    Its properties are the route's template, the method and the status; a request that the server failed is not
    counted. The answer never waits for it and never fails by it: what Kafka does not take is lost, and said.
    """

    def __init__(self, app: ASGIApp, metric: str) -> None:
        self._app = app
        self._metric = metric
        self._waiting: set[asyncio.Task[None]] = set()
        self._said = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        at = datetime.now(UTC)
        try:
            await self._app(scope, receive, watched)
        finally:
            principal: Principal | None = scope.get("state", {}).get("caller")
            if principal is not None and principal.only_tenant is not None and 0 < status < 500:
                self._count(scope, principal.only_tenant, at, status)

    def _count(self, scope: Scope, tenant_id: str, at: datetime, status: int) -> None:
        endpoint = getattr(scope.get("route"), "path", "other")
        name = str(scope.get("path_params", {}).get("name", ""))
        if endpoint in INGEST or name.startswith("usage.record"):
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._lost("too many wait for Kafka already")
            return
        service: Service = scope["app"].state.service
        properties = {"endpoint": endpoint, "method": scope["method"], "status": str(status)}
        call = Submission(
            tenant_id,
            self._metric,
            _ONE,
            str(uuid.uuid4()),
            at,
            properties=msgspec.Raw(msgspec.json.encode(properties)),
        )
        task = asyncio.create_task(self._send(service, call, at))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _send(self, service: Service, call: Submission, at: datetime) -> None:
        try:
            (verdict,) = judge([call], None, at, service.window)
            sent = isinstance(verdict, Admitted) and all(await service.send([verdict.line]))
            why = "" if sent else "Kafka did not acknowledge it in time"
        except MeterlineError as error:
            why = str(error)
        if why:
            self._lost(why)
        else:
            metrics.CALLS.labels("counted").inc()

    def _lost(self, why: str) -> None:
        metrics.CALLS.labels("lost").inc()
        now = time.monotonic()
        if now - self._said >= _SAID_EVERY:
            self._said = now
            log.warning("a call was not counted as usage: %s", why)
