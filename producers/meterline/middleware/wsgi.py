"""For Flask, ``app.wsgi_app = UsageMiddleware(app.wsgi_app, tenant=lambda environ: g.tenant_id)``; any WSGI app."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meterline.encoding import Quantity
from meterline.middleware.meter import Meter, MiddlewareStats, Payer
from meterline.middleware.rules import Answered, Measure, Rules
from meterline.tracker import Tracker

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class UsageMiddleware:
    """Tracks each request when the server closes its answer.

    ``tenant``, ``subject``, ``properties`` and ``endpoint`` are given the environ when the app starts its answer: in
    Flask after the view, within its context, so that ``flask.g`` and ``current_user`` are there. A ``quantity``
    callable is given the environ at the answer's end. Flask's rule is found by itself; for other frameworks
    ``endpoint`` returns the route's template. See ``Rules`` for the options and what is raised.
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
        self._meter = Meter(self._rules, producer, _rule)

    def stats(self) -> MiddlewareStats:
        return self._meter.stats()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self._rules.watches(_path(environ)):
            return self.app(environ, start_response)
        call = _Call(self._meter, environ, start_response)
        if self._rules.counts_in:
            environ["wsgi.input"] = call.input = _Input(environ["wsgi.input"])
        try:
            answer = self.app(environ, call.start)
        except Exception:
            call.end()
            raise
        return (_SizedBody if hasattr(answer, "__len__") else _Body)(answer, call)


class _Call:
    """One request, from the app's start to the close of its answer."""

    def __init__(self, meter: Meter, environ: Environ, start_response: Callable[..., Any]) -> None:
        self._meter, self._environ, self._start_response = meter, environ, start_response
        self._payer: Payer | None = None
        self._status = 0
        self._ended = False
        self.input: _Input | None = None
        self.bytes_out = 0
        self._began = time.monotonic_ns()

    def start(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        write = self._start_response(status, headers, *error)
        self._status = int(status[:3])
        # once more only where an error replaces the answer
        self._payer = self._meter.payer(self._environ, self._status)

        def written(data: bytes) -> None:
            write(data)
            self.bytes_out += len(data)

        return written

    def end(self) -> None:
        if self._ended:
            return
        self._ended = True
        took = time.monotonic_ns() - self._began
        if self._status == 0:
            self._status = 500  # what the server answers in its place
            self._payer = self._meter.payer(self._environ, self._status)
        if self._payer is not None:
            read = self.input.bytes_read if self.input is not None else 0
            method = self._environ["REQUEST_METHOD"]
            answered = Answered(method, self._payer.endpoint, self._status, read, self.bytes_out, took)
            self._meter.count(self._payer, answered, self._environ)


class _Body:
    """An answer's pieces. Each counts once the server asks for the next: before that it may not have been sent."""

    def __init__(self, answer: Iterable[bytes], call: _Call) -> None:
        self._answer, self._call = answer, call
        self._pieces: Iterator[bytes] | None = None
        self._under_way = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = iter(self._answer)
        self._call.bytes_out += self._under_way
        self._under_way = 0
        piece = next(self._pieces)
        self._under_way = len(piece)
        return piece

    def close(self) -> None:
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._call.end()


class _SizedBody(_Body):
    """Servers give an answer of one piece its Content-Length."""

    def __len__(self) -> int:
        return len(self._answer)  # type: ignore[arg-type]


class _Input:
    """A request's body, which counts what is read of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.bytes_read = 0

    def read(self, *size: int) -> bytes:
        return self._seen(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._seen(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._seen(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._seen, self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _seen(self, data: bytes) -> bytes:
        self.bytes_read += len(data)
        return data


def _path(environ: Environ) -> str:
    """As the client sent it, decoded: WSGI hands bytes on as Latin-1."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


def _rule(environ: Environ) -> str:
    """Flask's rule, ``/items/<int:id>``. Werkzeug leaves its request in the environ."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return getattr(rule, "rule", "")
