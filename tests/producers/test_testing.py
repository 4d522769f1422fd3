"""``meterline.testing``: what customers' tests see is what Meterline would get, and refuses what it would refuse."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterline import Limits, UsageProducer, tracker
from meterline.testing import InMemoryProducer, TrackedEvent
from meterline_schemas.event import UsageEvent
from meterline_schemas.reading import InvalidLine

AT = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def producer() -> InMemoryProducer:
    return InMemoryProducer(source="shop")


def public(kind: type) -> dict[str, Callable[..., Any]]:
    kept = ("__enter__", "__exit__", "__aenter__", "__aexit__")
    return {
        name: value
        for name, value in inspect.getmembers(kind, inspect.isroutine)
        if not name.startswith("_") or name in kept
    }


def test_it_has_every_method_of_the_real_one_with_the_same_parameters() -> None:
    real, ours = public(UsageProducer), public(InMemoryProducer)
    assert {"track", "track_event", "track_many", "flush", "aflush", "close", "stats", "__enter__"} <= set(real)
    for name, method in real.items():
        assert name in ours, f"InMemoryProducer has no {name}"
        wanted, found = inspect.signature(method), inspect.signature(ours[name])
        assert list(found.parameters.values()) == list(wanted.parameters.values()), name
        assert inspect.iscoroutinefunction(ours[name]) == inspect.iscoroutinefunction(method), name
        if name not in ("__enter__", "__aenter__"):
            assert found.return_annotation == wanted.return_annotation, name


def test_an_event_is_as_meterline_would_get_it(producer: InMemoryProducer) -> None:
    given = {"n": Decimal("1.50"), "at": AT, "ok": True, "none": None}
    id = producer.track("acme", "orders", Decimal("3.10"), subject="u", properties=given, timestamp=AT)
    (event,) = producer.events
    assert event == TrackedEvent(
        "acme", "orders", Decimal("3.1"), AT.replace(microsecond=123000), id, "u", "shop",
        {"n": "1.50", "at": "2026-11-21T12:00:00.123456Z", "ok": True, "none": None},
    )  # fmt: skip
    with pytest.raises(FrozenInstanceError):
        event.quantity = Decimal(7)  # type: ignore[misc]
    producer.assert_tracked("acme", "orders", properties=given)


names = st.one_of(st.text(max_size=5), st.sampled_from(["acme", "a" * 256, "a" * 257, "a\nb", "\ud800"]), st.integers())
quantities = st.one_of(st.integers(), st.decimals(), st.floats(), st.text(max_size=4), st.booleans(), st.none())
values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
properties = st.one_of(st.none(), st.dictionaries(st.text(max_size=3), values, max_size=3))
times = st.one_of(st.none(), st.datetimes(), st.datetimes(timezones=st.just(UTC)))


@example("acme", "orders", 1, None, {"too large": "x" * 262_144}, None)
@example("acme", "orders", 1, None, {f"p{n}": n for n in range(101)}, None)
@example("acme", "orders", 1, "u", {"nested": [1, {"a": None}]}, AT)
@given(names, names, quantities, st.one_of(st.none(), names), properties, times)
def test_it_takes_and_refuses_what_the_real_one_does(
    tenant_id: Any, metric: Any, quantity: Any, subject: Any, properties: Any, timestamp: Any
) -> None:
    def outcome(producer: UsageProducer | InMemoryProducer) -> Any:
        try:
            producer.track(tenant_id, metric, quantity, subject=subject, properties=properties, timestamp=timestamp)
        except Exception as error:
            return type(error), str(error)
        return producer.stats().tracked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UsageProducer, "_start", lambda self: None)
        real = UsageProducer("127.0.0.1:1", limits=Limits(exit_seconds=0))
        try:
            assert outcome(InMemoryProducer()) == outcome(real)
        finally:
            real.close(0)


def test_events_that_are_complete_are_judged_as_the_stream_does(producer: InMemoryProducer) -> None:
    line = b'{"id":"1","tenant_id":"acme","metric":"orders","quantity":%b,"timestamp":"2026-11-21T12:00:00Z"}'
    good, bad = (msgspec.json.decode(line % quantity, type=UsageEvent) for quantity in (b"1e1", b"1e-10"))
    assert producer.track_event(good) == "1"
    with pytest.raises(InvalidLine):
        producer.track_event(bad)
    producer.assert_tracked("acme", "orders", 10, id="1", times=1)


def test_many_events_have_an_outcome_each(producer: InMemoryProducer) -> None:
    events: list[Mapping[str, Any]] = [{"metric": "emails", "quantity": 5}, {"metric": "exports", "quantity": 0.5}]
    outcomes = producer.track_many(events, tenant_id="acme")
    assert [outcome.ok for outcome in outcomes] == [True, False]
    assert producer.total("acme", "emails") == 5


def test_totals_are_exact_and_an_id_counts_once(producer: InMemoryProducer) -> None:
    for quantity in ("0.000000001", "5"):
        producer.track("acme", "storage", quantity, id="a", timestamp=AT)
    producer.track("acme", "storage", 999_999_999_999_999_999, subject="u")
    producer.track("other", "storage", 1)
    assert producer.total("acme", "storage") == Decimal("999999999999999999.000000001")
    assert producer.total("acme", "storage", subject="u") == 999_999_999_999_999_999
    assert producer.total("acme", "nothing") == 0


def test_assertions_hold_for_what_was_tracked(producer: InMemoryProducer) -> None:
    producer.track("acme", "orders", 3, properties={"region": "eu", "sku": "x"})
    producer.track("acme", "orders", Decimal(3), subject="u")
    producer.assert_tracked("acme", "orders")
    assert len(producer.assert_tracked("acme", "orders", Decimal("3.0"), times=2)) == 2
    producer.assert_tracked("acme", "orders", quantity="3", times=1, subject="u")
    producer.assert_tracked("acme", "orders", times=1, subject=None)
    producer.assert_tracked("acme", "orders", times=1, properties={"region": "eu"})
    producer.assert_tracked("acme", "orders", 4, times=0)
    producer.assert_not_tracked("other")
    producer.assert_not_tracked("acme", "exports")
    producer.clear()
    producer.assert_not_tracked()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda it: it.assert_tracked("acme", "orders", 4),
        lambda it: it.assert_tracked("acme", "orders", times=2),
        lambda it: it.assert_tracked("acme", "orders", times=0),
        lambda it: it.assert_tracked("acme", "orders", subject="v"),
        lambda it: it.assert_tracked("acme", "orders", properties={"region": "us"}),
        lambda it: it.assert_tracked("acme", "orders", id="7"),
        lambda it: it.assert_tracked("Acme", "orders"),
        lambda it: it.assert_not_tracked(),
        lambda it: it.assert_not_tracked("acme"),
        lambda it: it.assert_not_tracked(metric="orders"),
    ],
)
def test_assertions_that_fail_say_what_was_tracked_instead(
    producer: InMemoryProducer, wrong: Callable[[InMemoryProducer], object]
) -> None:
    producer.track("acme", "orders", 3, subject="u", properties={"region": "eu"}, id="o-1")
    with pytest.raises(AssertionError) as failed:
        wrong(producer)
    assert "'acme' 'orders' 3 subject='u' properties={'region': 'eu'} id='o-1'" in str(failed.value)


def test_a_failed_assertion_says_what_was_wanted(producer: InMemoryProducer) -> None:
    with pytest.raises(AssertionError) as failed:
        producer.assert_tracked("acme", "orders", Decimal(3), subject=None)
    assert str(failed.value) == (
        "'acme' 'orders' quantity=Decimal('3') subject=None was tracked 0 times, not once or more; nothing was tracked"
    )


def test_what_is_tracked_after_closing_is_dropped(producer: InMemoryProducer) -> None:
    with producer as same:
        assert same is producer
        producer.track("acme", "orders")
        assert producer.flush() == 0
    producer.track("acme", "orders")
    stats = producer.stats()
    assert (stats.tracked, stats.acknowledged, stats.dropped, stats.pending) == (2, 1, 1, 0)


def test_it_is_closed_by_async_with_too(producer: InMemoryProducer) -> None:
    async def run() -> None:
        async with producer:
            producer.track("acme", "orders")
            assert await producer.aflush() == 0
        producer.track("acme", "orders")

    asyncio.run(run())
    assert producer.stats().dropped == 1


def test_the_fixture_is_the_process_s_producer(meterline_producer: InMemoryProducer) -> None:
    assert tracker.default_producer() is meterline_producer  # type: ignore[comparison-overlap]
    tracker.default_producer().track("acme", "orders")
    meterline_producer.assert_tracked("acme", "orders", times=1)


TESTS = """
import sys
import meterline.tracker
from meterline.tracker import default_producer

def test_one(meterline_producer):
    default_producer().track("acme", "orders", 3)
    meterline_producer.assert_tracked("acme", "orders", 3, times=1)

def test_two(meterline_producer):
    meterline_producer.assert_not_tracked()

def test_none():
    assert meterline.tracker._default is None
    assert "confluent_kafka" not in sys.modules
"""


def test_with_pytest_the_fixture_is_there_and_gone_after_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        TESTS.replace("from meterline import tracker", "import meterline.tracker as tracker")
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_loads_no_kafka_client() -> None:
    program = "import sys; import meterline.pytest_plugin; print('confluent_kafka' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "False\n", done.stderr
