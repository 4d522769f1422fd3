"""``"meterline.middleware.django.UsageMiddleware"`` in ``MIDDLEWARE``, set by ``METERLINE = {...}`` in the settings."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from meterline.middleware.meter import Meter, MiddlewareStats
from meterline.middleware.rules import MEASURES, Answered, Rules
from meterline_schemas.errors import MeterlineError

OPTIONS: Final = frozenset(
    ("metric", "tenant", "quantity", "include", "exclude", "statuses", "subject", "properties", "endpoint", "producer")
)
_CALLABLES: Final = ("tenant", "subject", "properties", "endpoint", "producer")


class UsageMiddleware:
    """Tracks each request when the server closes its answer. As the first of ``MIDDLEWARE`` it sees what is sent.

    Every callable is given Django's request after the view; in the settings it may be named as ``"module.name"``.
    See ``Rules`` for the options.

    Raises:
        ImproperlyConfigured: ``METERLINE`` is missing or wrong.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._meter = _meter()
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def stats(self) -> MiddlewareStats:
        return self._meter.stats()

    def __call__(self, request: Any) -> Any:
        if self._async:
            return self._answer(request)
        if not self._meter.rules.watches(request.path):
            return self._get_response(request)
        call = _Call(self._meter, request)
        return call.follow(self._get_response(request))

    async def _answer(self, request: Any) -> Any:
        answer: Awaitable[Any] = self._get_response(request)
        if not self._meter.rules.watches(request.path):
            return await answer
        call = _Call(self._meter, request)
        return call.follow(await answer)


class _Call:
    """One request, from the first middleware to the close of its answer."""

    def __init__(self, meter: Meter, request: Any) -> None:
        self._meter, self._request = meter, request
        self._bytes_in = self._bytes_out = 0
        self._ended = False
        if meter.rules.counts_in:
            self._count_reads()
        self._began = time.monotonic_ns()

    def follow(self, response: Any) -> Any:
        """The same response, which counts when it is closed."""
        if self._meter.rules.counts_out and response.streaming:
            pieces = response.streaming_content
            response.streaming_content = self._sent_async(pieces) if response.is_async else self._sent(pieces)
        close = response.close

        def closed() -> None:
            try:
                close()
            finally:
                self._end(response)

        response.close = closed
        return response

    def _end(self, response: Any) -> None:
        if self._ended:
            return
        self._ended = True
        took = time.monotonic_ns() - self._began
        payer = self._meter.payer(self._request, response.status_code)
        if payer is not None:
            sent = self._bytes_out if response.streaming else len(response.content)
            answered = Answered(self._request.method, payer.endpoint, response.status_code, self._bytes_in, sent, took)
            self._meter.count(payer, answered, self._request)

    def _sent(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self._bytes_out += len(piece)  # the next is asked for, so this one is sent

    async def _sent_async(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece
            self._bytes_out += len(piece)

    def _count_reads(self) -> None:
        """Forms, uploads and ``request.body`` all read through these two; once it is kept it is not read again."""
        request = self._request

        def counted(read: Callable[..., bytes]) -> Callable[..., bytes]:
            def reading(*size: int) -> bytes:
                kept = hasattr(request, "_body")
                data = read(*size)
                self._bytes_in += 0 if kept else len(data)
                return data

            return reading

        request.read, request.readline = counted(request.read), counted(request.readline)


def _meter() -> Meter:
    options = getattr(settings, "METERLINE", None)
    if not isinstance(options, dict) or "tenant" not in options:
        raise ImproperlyConfigured(
            'METERLINE in the settings must be a dict that says at least where the tenant is found: {"tenant": ...}'
        )
    unknown = sorted(str(name) for name in set(options) - OPTIONS)
    if unknown:
        raise ImproperlyConfigured(f"METERLINE knows no {', '.join(unknown)}; it knows {', '.join(sorted(OPTIONS))}")
    found = {name: _loaded(name, value) for name, value in options.items()}
    producer = found.pop("producer", None)
    try:
        return Meter(Rules(**found), producer, _route)
    except (MeterlineError, TypeError) as error:
        raise ImproperlyConfigured(f"METERLINE in the settings: {error}") from None


def _route(request: Any) -> str:
    match = request.resolver_match
    return f"/{match.route}" if match is not None else ""


def _loaded(name: str, value: Any) -> Any:
    named = name in _CALLABLES or (name == "quantity" and value not in MEASURES and not str(value)[:1].isdigit())
    if not (named and isinstance(value, str)):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ImproperlyConfigured(f"METERLINE, {name}: {value!r} cannot be imported: {error}") from None
