"""``@track_usage("ai_jobs", tenant=arg("tenant_id"))``: what a function does, as usage."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from decimal import Decimal
from typing import Any, TypeVar, cast

from meterline.call import code_of
from meterline.counting import USAGE_ERRORS, Counting, Gate, When
from meterline.extractors import Extractor
from meterline.tracker import Tracker
from meterline_schemas.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__meterline__"


def track_usage(
    metric: str,
    *,
    tenant: Extractor,
    quantity: Extractor | int | Decimal = 1,
    properties: Extractor | Mapping[str, Any] | None = None,
    subject: Extractor | None = None,
    timestamp: Extractor | None = None,
    id: Extractor | None = None,
    when: When = "success",
    check: Gate | None = None,
    producer: Tracker | Callable[[], Tracker] | None = None,
) -> Callable[[F], F]:
    """Count each call of a function, method, coroutine function, generator or async generator once, when it ends.

    Where a value comes from is said, never guessed: ``arg("tenant_id")`` is an argument, ``arg("request.user.org_id")``
    what an argument leads to, ``result("usage.tokens")`` what the function returned, ``yielded()`` the number of items
    of a generator, ``elapsed("seconds")`` the duration, ``constant("acme")`` always the same, and a function of yours
    gets the ``Call``. A bare text is refused for that reason, except as a value in ``properties``. ints and UUIDs
    become text where a name is wanted. Quantities are as in ``track``: a float does not count.

    The event's time is the end of the call. A call that raises counts only with ``when="always"``; a generator counts
    when it ends, is closed early (which is no failure) or fails. An event is tracked whole or not at all: if anything
    of it cannot be had or can never count, that is counted in ``usage_errors`` and logged (logger ``meterline``, at
    most once in five seconds), and the call goes on as if it were not decorated. With ``check`` (a ``QuotaCheck``) a
    call whose tenant is blocked raises ``QuotaExceededError`` instead of being made, and counts nothing.

    ``producer`` is by default the process's own, ``default_producer()``; a function that returns one is asked at each
    call. Name, signature, type and result of the function stay. Requirement: ``@TrackUsage`` of document 2.

    Raises:
        ConfigurationError: at decoration, for what cannot work: a parameter that the function does not have.
        InvalidUsageError: at decoration, for a metric or constant that can never count.
        TypeError: at decoration, for a value of the wrong type, such as ``quantity=1.5``.
    """
    fields = {
        "tenant": tenant,
        "quantity": quantity,
        "subject": subject,
        "properties": properties,
        "timestamp": timestamp,
        "id": id,
    }
    if tenant is None or quantity is None:
        raise ConfigurationError("track_usage needs a tenant and a quantity: write tenant=arg('tenant_id')")

    def decorate(function: F) -> F:
        if isinstance(function, classmethod | staticmethod):
            return cast(F, type(function)(decorate(cast(Any, function.__func__))))
        if not callable(function) or isinstance(function, type):
            raise ConfigurationError(f"track_usage is for functions and methods, not for {function!r}")
        counting = Counting(function, metric, fields, when=when, check=check, producer=producer)
        wrapper = functools.wraps(function)(_wrapper(function, counting))
        setattr(wrapper, _MARK, counting)
        return cast(F, wrapper)

    return decorate


def usage_errors(function: Callable[..., Any] | None = None) -> int:
    """Events that could not be counted: of one decorated function, or of all functions and blocks of the process."""
    if function is None:
        return USAGE_ERRORS.count
    found: set[Counting] = set()
    layer: Any = function
    while layer is not None:
        if hasattr(layer, _MARK):
            found.add(getattr(layer, _MARK))
        layer = getattr(layer, "__wrapped__", None)
    return sum(counting.mishaps.count for counting in found)


def _wrapper(function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
    """Of the same kind as the function."""
    code = code_of(function)
    if inspect.isasyncgenfunction(code):
        return _async_generator(function, counting)
    if inspect.iscoroutinefunction(code):
        return _coroutine(function, counting)
    if inspect.isgeneratorfunction(code):
        return _generator(function, counting)
    return _function(function, counting)


def _function(function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        call = counting.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            counting.raised(call, error)
            raise
        counting.returned(call, result)
        return result

    return call


def _coroutine(function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        call = await counting.abegin(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            counting.raised(call, error)
            raise
        counting.returned(call, result)
        return result

    return call


def _generator(function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = counting.begin(args, kwargs)
        result = None
        try:
            inner = function(*args, **kwargs)
            try:
                item = next(inner)
                while True:
                    call.yielded += 1
                    try:
                        given = yield item
                    except BaseException as thrown:  # the caller's throw() and close()
                        item = inner.throw(thrown)
                    else:
                        item = inner.send(given)
            except StopIteration as end:
                result = end.value
        except GeneratorExit:
            counting.closed(call)
            raise
        except BaseException as error:
            counting.raised(call, error)
            raise
        counting.returned(call, result)
        return result

    return call


def _async_generator(function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = await counting.abegin(args, kwargs)
        try:
            inner = function(*args, **kwargs)
            try:
                item = await inner.__anext__()
                while True:
                    call.yielded += 1
                    try:
                        given = yield item
                    except BaseException as thrown:  # the caller's athrow() and aclose()
                        item = await inner.athrow(thrown)
                    else:
                        item = await inner.asend(given)
            except StopAsyncIteration:
                pass
        except GeneratorExit:
            counting.closed(call)
            raise
        except BaseException as error:
            counting.raised(call, error)
            raise
        counting.returned(call, None)

    return call
