"""``track_usage``: what counts, from where it is taken, and that the function never notices."""

from __future__ import annotations

import asyncio
import functools
import inspect
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meterline.call import Call
from meterline.decorator import track_usage, usage_errors
from meterline.extractors import arg, constant, elapsed, result, yielded
from meterline.testing import InMemoryProducer

ACME = constant("acme")


@dataclass
class Answer:
    text: str
    usage: dict[str, int]


@pytest.fixture
def producer() -> InMemoryProducer:
    return InMemoryProducer()


def test_tenant_quantity_subject_and_properties_come_from_arguments_and_result(producer: InMemoryProducer) -> None:
    @track_usage(
        "tokens",
        tenant=arg("request.user.org_id"),
        quantity=result("usage.tokens"),
        subject=arg("request.user.id"),
        properties={"model": arg("model"), "region": "eu", "length": lambda call: len(call.result.text)},
        producer=producer,
    )
    def complete(request: Any, *, model: str = "small") -> Answer:
        return Answer("hello", {"tokens": 7})

    request = SimpleNamespace(user=SimpleNamespace(org_id=12, id=uuid.UUID(int=1)))
    assert complete(request).text == "hello"
    (event,) = producer.events
    assert (event.tenant_id, event.metric, event.quantity) == ("12", "tokens", Decimal(7))
    assert event.subject == str(uuid.UUID(int=1))
    assert event.properties == {"model": "small", "region": "eu", "length": 5}


def test_further_keyword_arguments_are_arguments_too(producer: InMemoryProducer) -> None:
    @track_usage("orders", tenant=arg("tenant_id"), producer=producer)
    def order(*items: str, **options: Any) -> None:
        pass

    order("a", tenant_id="acme")
    assert producer.total("acme", "orders") == 1


def test_a_function_of_ones_own_sees_the_whole_call(producer: InMemoryProducer) -> None:
    seen: list[Call] = []

    def watch(call: Call) -> str:
        seen.append(call)
        return "acme"

    @track_usage("orders", tenant=watch, producer=producer)
    def order(first: int, second: int = 2) -> int:
        return first + second

    assert order(1) == 3
    (call,) = seen
    assert (call.args, call.result, call.error) == ({"first": 1, "second": 2}, 3, None)
    assert isinstance(call.seconds, Decimal)
    assert call.seconds > 0


class Scanner:
    tenant = "acme"

    def __init__(self, producer: InMemoryProducer) -> None:
        self.scan = track_usage("scans", tenant=constant("bound"), producer=producer)(self.plain)

    def plain(self, pages: int) -> int:
        return pages


def test_methods_of_all_kinds_keep_what_they_are(producer: InMemoryProducer) -> None:
    def scans(**more: Any) -> Callable[[Any], Any]:
        return track_usage("scans", producer=producer, quantity=arg("pages"), **more)

    class Service:
        tenant = "acme"

        @scans(tenant=arg("self.tenant"))
        def method(self, pages: int) -> int:
            return pages

        @classmethod
        @scans(tenant=arg("cls.tenant"))
        def of_class(cls, pages: int) -> type:
            return cls

        @scans(tenant=arg("cls.tenant"))
        @classmethod
        def of_class_too(cls, pages: int) -> type:
            return cls

        @staticmethod
        @scans(tenant=ACME)
        def static(pages: int) -> int:
            return pages

        @scans(tenant=ACME)
        @staticmethod
        def static_too(pages: int) -> int:
            return pages

    service = Service()
    assert (service.method(1), service.static(2), Service.static_too(3)) == (1, 2, 3)
    assert (service.of_class(4), Service.of_class_too(5)) == (Service, Service)
    assert [event.quantity for event in producer.events] == [1, 2, 3, 4, 5]
    assert Scanner(producer).scan(6) == 6
    producer.assert_tracked("bound", "scans", 1, times=1)


def test_partials_callable_objects_and_builtins_count_too(producer: InMemoryProducer) -> None:
    class Doubler:
        async def __call__(self, number: int) -> int:
            return 2 * number

    count = track_usage("calls", tenant=ACME, producer=producer)
    assert count(functools.partial(int, base=2))("101") == 5
    assert count(max)(1, 2) == 2
    assert asyncio.run(count(Doubler())(4)) == 8
    assert producer.total("acme", "calls") == 3


@pytest.mark.parametrize("when", ["success", "always"])
def test_a_call_that_raises_counts_only_if_asked_for(producer: InMemoryProducer, when: Any) -> None:
    @track_usage("jobs", tenant=ACME, properties={"error": lambda call: repr(call.error)}, when=when, producer=producer)
    def job() -> None:
        raise ValueError("broken")

    @track_usage("jobs", tenant=ACME, when=when, producer=producer)
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="broken"):
        job()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    if when == "always":
        producer.assert_tracked("acme", "jobs", times=1, properties={"error": "ValueError('broken')"})
        producer.assert_tracked("acme", "jobs", times=2)
    else:
        producer.assert_not_tracked()


def test_a_coroutine_counts_when_it_has_run(producer: InMemoryProducer) -> None:
    @track_usage("jobs", tenant=arg("tenant_id"), quantity=elapsed("milliseconds"), producer=producer)
    async def job(tenant_id: str) -> str:
        await asyncio.sleep(0.01)
        return tenant_id

    async def run() -> None:
        waiting = job("acme")
        producer.assert_not_tracked()
        assert await waiting == "acme"

    assert inspect.iscoroutinefunction(job)
    asyncio.run(run())
    (event,) = producer.events
    assert event.quantity >= 10


def numbers(producer: InMemoryProducer, **more: Any) -> Callable[[int], Generator[int, int, str]]:
    @track_usage("rows", tenant=ACME, quantity=yielded(), producer=producer, **more)
    def rows(count: int) -> Generator[int, int, str]:
        for number in range(count):
            if number == 3:
                raise ValueError("broken")
            yield number
        return "end"

    return rows


def test_a_generator_counts_its_items_when_it_ends_or_is_closed(producer: InMemoryProducer) -> None:
    rows = numbers(producer)
    assert inspect.isgeneratorfunction(rows)
    assert list(rows(3)) == [0, 1, 2]
    producer.assert_tracked("acme", "rows", 3, times=1)
    for number in rows(3):
        if number == 1:
            break
    producer.assert_tracked("acme", "rows", 2, times=1)
    early = rows(3)
    next(early)
    early.close()
    producer.assert_tracked("acme", "rows", 1, times=1)
    rows(3).close()  # never began
    assert len(producer.events) == 3


@pytest.mark.parametrize(("when", "total"), [("success", 0), ("always", 3)])
def test_a_generator_that_fails_counts_its_items_only_if_asked_for(
    producer: InMemoryProducer, when: str, total: int
) -> None:
    with pytest.raises(ValueError, match="broken"):
        list(numbers(producer, when=when)(4))
    assert producer.total("acme", "rows") == total


def test_what_is_sent_thrown_and_returned_passes_through_a_generator(producer: InMemoryProducer) -> None:
    @track_usage("echoes", tenant=ACME, quantity=yielded(), producer=producer)
    def echo() -> Generator[Any, Any, str]:
        heard: Any = "ready"
        while heard != "stop":
            try:
                heard = yield heard
            except KeyError as error:
                heard = f"caught {error}"
        return "bye"

    generator = echo()
    assert next(generator) == "ready"
    assert generator.send("hello") == "hello"
    assert generator.throw(KeyError("x")) == "caught 'x'"
    with pytest.raises(StopIteration) as stop:
        generator.send("stop")
    assert stop.value.value == "bye"
    producer.assert_tracked("acme", "echoes", 3, times=1)


def test_a_generator_that_refuses_to_close_says_so_as_before(producer: InMemoryProducer) -> None:
    @track_usage("rows", tenant=ACME, producer=producer)
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()  # type: ignore[attr-defined]


def test_an_async_generator_counts_its_items(producer: InMemoryProducer) -> None:
    cleaned = []

    @track_usage("rows", tenant=ACME, quantity=yielded(), producer=producer)
    async def rows(count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            cleaned.append(count)

    async def run() -> None:
        assert [number async for number in rows(3)] == [0, 1, 2]
        producer.assert_tracked("acme", "rows", 3, times=1)
        generator = rows(5)
        assert await generator.__anext__() == 0
        await generator.aclose()  # type: ignore[attr-defined]
        producer.assert_tracked("acme", "rows", 1, times=1)
        broken = rows(5)
        await broken.__anext__()
        with pytest.raises(KeyError):
            await broken.athrow(KeyError("x"))  # type: ignore[attr-defined]

    assert inspect.isasyncgenfunction(rows)
    asyncio.run(run())
    assert cleaned == [3, 5, 5]
    assert len(producer.events) == 2


def test_the_time_of_the_event_is_the_end_of_the_call(producer: InMemoryProducer) -> None:
    at: list[datetime] = []

    def slow(call: Call) -> str:
        at.append(datetime.now(UTC))
        while datetime.now(UTC) < at[-1] + timedelta(milliseconds=3):
            pass
        return "acme"

    @track_usage("jobs", tenant=slow, producer=producer)
    def job() -> None:
        at.append(datetime.now(UTC))

    job()
    (event,) = producer.events
    assert at[0] - timedelta(milliseconds=1) <= event.timestamp <= at[1]


def test_id_and_timestamp_of_ones_own_make_repeats_count_once(producer: InMemoryProducer) -> None:
    made = datetime(2026, 11, 1, tzinfo=UTC)

    @track_usage("orders", tenant=ACME, id=arg("number"), timestamp=constant(made), producer=producer)
    def order(number: int) -> None:
        pass

    order(7)
    order(7)
    assert [(event.id, event.timestamp) for event in producer.events] == [("7", made)] * 2
    assert producer.total("acme", "orders") == 1


def raises(call: Call) -> Any:
    raise RuntimeError("extractor")


def no_text(call: Call) -> Any:
    class NoText(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise NoText


KINDS = ("function", "coroutine", "generator", "async generator")


def function_of(kind: str, items: list[int], error: BaseException | None) -> Callable[..., Any]:
    """Yields ``items`` if it is a generator, then raises ``error`` or returns their sum."""

    def function(tenant_id: str, pages: int = 1, *, fast: bool = False) -> Any:
        """Of the function."""
        if error is not None:
            raise error
        return sum(items)

    async def coroutine(tenant_id: str, pages: int = 1, *, fast: bool = False) -> Any:
        return function(tenant_id)

    def generator(tenant_id: str, pages: int = 1, *, fast: bool = False) -> Any:
        yield from items
        return function(tenant_id)

    async def async_generator(tenant_id: str, pages: int = 1, *, fast: bool = False) -> Any:
        for item in items:
            yield item
        function(tenant_id)

    return dict(zip(KINDS, (function, coroutine, generator, async_generator), strict=True))[kind]


def behaviour(kind: str, function: Callable[..., Any], stop_at: int) -> tuple[list[Any], Any]:
    """What a caller sees who takes at most ``stop_at`` items."""
    seen: list[Any] = []

    async def run() -> None:
        if kind == "coroutine":
            seen.append(await function("acme"))
            return
        found = function("acme", fast=True)
        async for item in found:
            seen.append(item)
            if len(seen) >= stop_at:
                break
        await found.aclose()

    try:
        if kind in ("coroutine", "async generator"):
            asyncio.run(run())
        elif kind == "function":
            seen.append(function("acme", 2))
        else:
            found = function("acme", pages=2)
            try:
                while len(seen) < stop_at:
                    seen.append(next(found))
            except StopIteration as stop:
                seen.append(("returned", stop.value))
            found.close()
    except BaseException as error:
        return seen, error
    return seen, None


def gives(value: Any) -> Callable[[Call], Any]:
    return lambda call: value


YIELDED = yielded()
anything = st.one_of(
    st.sampled_from([raises, no_text, arg("tenant_id"), arg("pages.x"), result("x"), YIELDED, elapsed()]),
    st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=3), st.binary(max_size=2), st.lists(st.none()))
    .map(gives),
)  # fmt: skip


@given(
    kind=st.sampled_from(KINDS),
    items=st.lists(st.integers(0, 9), max_size=4),
    error=st.sampled_from([None, ValueError("x"), KeyError("y"), SystemExit(3), GeneratorExit()]),
    stop_at=st.integers(1, 5),
    when=st.sampled_from(["success", "always"]),
    fields=st.fixed_dictionaries(
        {"tenant": anything},
        optional=dict.fromkeys(("quantity", "subject", "properties", "timestamp", "id"), anything),
    ),
)
def test_a_decorated_function_behaves_as_it_did_before(
    kind: str, items: list[int], error: BaseException | None, stop_at: int, when: Any, fields: dict[str, Any]
) -> None:
    producer = InMemoryProducer()
    function = function_of(kind, items, error)
    assume("generator" in kind or not any(field is YIELDED for field in fields.values()))  # refused when decorating
    decorated = track_usage("jobs", when=when, producer=producer, **fields)(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert (decorated.__name__, decorated.__qualname__, decorated.__doc__, decorated.__module__) == (
        function.__name__, function.__qualname__, function.__doc__, function.__module__,
    )  # fmt: skip
    for asked in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert asked(decorated) == asked(function)
    seen, raised = behaviour(kind, function, stop_at)
    assert behaviour(kind, decorated, stop_at) == (seen, raised)
    assert len(producer.events) + usage_errors(decorated) <= 1
    if raised is None or when == "always":
        assert len(producer.events) + usage_errors(decorated) == 1


def test_types_stay_for_those_who_check_them(producer: InMemoryProducer) -> None:
    @track_usage("scans", tenant=arg("tenant_id"), producer=producer)
    def scan(tenant_id: str, pages: int = 1) -> str:
        return tenant_id * pages

    @track_usage("scans", tenant=arg("tenant_id"), producer=lambda: producer)
    async def ascan(tenant_id: str) -> int:
        return 1

    text: str = scan("acme", pages=2)
    number: int = asyncio.run(ascan("acme"))
    with pytest.raises(TypeError):
        scan(1, wrong=2)  # type: ignore[arg-type, call-arg]
    assert (text, number) == ("acmeacme", 1)
