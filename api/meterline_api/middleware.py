"""Around every request: it is counted and timed, and what nobody expected becomes a problem document."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meterline_api import metrics
from meterline_api.access.limiter import Left
from meterline_api.problems import Code, Problem

log = logging.getLogger(__name__)


class Outermost:
    """Plain ASGI: it costs microseconds and passes the body through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                left: Left | None = scope.get("state", {}).get("rate_limit")
                if left is not None:
                    headers = MutableHeaders(scope=message)
                    for name, value in left.headers().items():
                        headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            log.error("internal error at %s %s: %s", scope["method"], scope["path"], where(error))
            if status:
                raise
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, Code.INTERNAL_ERROR, "the server failed; its log says where"
            )
            await problem.response()(scope, receive, watched)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")  # never the caller's text: it would be a metric for each
            metrics.REQUESTS.labels(path, str(status)).inc()
            metrics.SECONDS.labels(path).observe(time.perf_counter() - started)


def where(error: Exception) -> str:
    """An exception on one line: what, and the last three places."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} [{' < '.join(reversed(places[-3:]))}]"
