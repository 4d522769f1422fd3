"""``app.add_middleware(UsageMiddleware, tenant=state("tenant_id"))`` for Starlette, FastAPI and any other ASGI app."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from meterline.encoding import Quantity
from meterline.middleware.meter import Meter, MiddlewareStats
from meterline.middleware.rules import Answered, Measure, Rules
from meterline.middleware.templates import template_of
from meterline.tracker import Tracker

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class UsageMiddleware:
    """Tracks each request once its answer is sent. Websockets pass through and do not count.

    When the server ends the app's lifespan, what was counted is sent first, within 5 s: uvicorn ends by SIGTERM without
    running exit handlers.

    Every callable is given Starlette's ``Request``, or the scope where Starlette is not in use, after the app has
    answered: whatever authentication left in it is there. See ``Rules`` for the options and what is raised.
    """

    def __init__(
        self,
        app: App,
        metric: str = "api_calls",
        *,
        tenant: Callable[[Any], object],
        quantity: Quantity | Measure | Callable[[Any], Quantity] = 1,
        include: Iterable[str] = ("*",),
        exclude: Iterable[str] = (),
        statuses: Iterable[str | int] = ("2xx",),
        subject: Callable[[Any], object] | None = None,
        properties: Callable[[Any], Mapping[str, Any]] | None = None,
        endpoint: Callable[[Any], object] | None = None,
        producer: Tracker | None = None,
    ) -> None:
        self.app = app
        self._rules = Rules(
            metric, tenant=tenant, quantity=quantity, include=include, exclude=exclude, statuses=statuses,
            subject=subject, properties=properties, endpoint=endpoint,
        )  # fmt: skip
        self._meter = Meter(self._rules, producer, template_of)

    def stats(self) -> MiddlewareStats:
        return self._meter.stats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._flush_before_the_end(send))
            return
        if scope["type"] != "http" or not self._rules.watches(scope["path"]):
            await self.app(scope, receive, send)
            return
        call = _Call(self._meter, scope, receive, send)
        watched = call.receive if self._rules.counts_in or self._rules.counts_out else receive
        try:
            await self.app(scope, watched, call.send)
        except Exception:
            call.status = call.status or 500
            raise
        finally:
            call.end()

    def _flush_before_the_end(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(self._meter.flush)
            await send(message)

        return sending


class _Call:
    """One request, from its first byte to the last of its answer."""

    __slots__ = (
        "_began",
        "_bytes_in",
        "_bytes_out",
        "_ended",
        "_gone",
        "_meter",
        "_receive",
        "_scope",
        "_send",
        "status",
    )

    def __init__(self, meter: Meter, scope: Scope, receive: Receive, send: Send) -> None:
        self._meter, self._scope, self._receive, self._send = meter, scope, receive, send
        self._bytes_in = self._bytes_out = self.status = 0
        self._ended = self._gone = False
        self._began = time.monotonic_ns()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes_in += len(message.get("body", b""))
        elif message["type"] == "http.disconnect":
            self._gone = True
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
        elif kind == "http.response.body":
            if not self._gone:
                self._bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.end()  # before background tasks, which are no part of the answer
        elif kind == "http.response.pathsend":
            self._bytes_out += _size(message["path"])
            self.end()

    def end(self) -> None:
        if self._ended:
            return
        self._ended = True
        took = time.monotonic_ns() - self._began
        scope, meter = self._scope, self._meter
        requests = sys.modules.get("starlette.requests")
        request = requests.Request(scope) if requests is not None else scope
        payer = meter.payer(request, self.status)
        if payer is not None:
            answered = Answered(scope["method"], payer.endpoint, self.status, self._bytes_in, self._bytes_out, took)
            meter.count(payer, answered, request)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
