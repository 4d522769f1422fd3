"""The health port of a process: ``/health`` as JSON and ``/metrics`` for Prometheus. Needs the ``server`` extra."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
from prometheus_client import make_wsgi_app

from meterline_schemas.errors import ConfigurationError

StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True)
class Health:
    """``ready``: set up and working. ``progressing``: offsets move, or there is nothing to do."""

    ready: bool
    progressing: bool
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.ready and self.progressing


def serve_health(port: int, check: Callable[[], Health], host: str = "127.0.0.1") -> None:
    """Answer on ``port`` from a daemon thread: 200 where ``check`` is ok, 503 where it is not.

    Raises:
        ConfigurationError: the port cannot be bound.
    """
    metrics = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/metrics":
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        health = check()
        status = "200 OK" if health.ok else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        body = {"live": True, "ready": health.ready, "progressing": health.progressing, **health.detail}
        return [msgspec.json.encode(body)]

    try:
        server = make_server(host, port, app, server_class=WSGIServer, handler_class=_Quiet)
    except OSError as error:
        raise ConfigurationError(
            f"cannot answer health checks on port {port}: {error.strerror}; choose another"
        ) from None
    Thread(target=server.serve_forever, name="health", daemon=True).start()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is not worth a line."""
