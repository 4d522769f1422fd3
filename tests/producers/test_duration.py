"""``usage``: how long a block took, exactly; what counts instead; and that the block never notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline.decorator import usage_errors
from meterline.duration import Usage
from meterline.testing import InMemoryProducer
from meterline.units import NANOSECONDS, Unit, in_unit
from meterline_schemas.errors import ConfigurationError


@pytest.fixture
def producer() -> InMemoryProducer:
    return InMemoryProducer()


class Clock:
    """``time.monotonic_ns`` as the test says."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("meterline.duration.time.monotonic_ns", clock)
    return clock


@given(st.integers(0, 10**18), st.sampled_from(get_args(Unit)))
def test_a_duration_is_exact_to_nine_decimals(nanoseconds: int, unit: Unit) -> None:
    with localcontext(Context(prec=3)):
        found = in_unit(nanoseconds, unit)
    assert Decimal(f"{found:f}") == found
    off = abs(Fraction(found) - Fraction(nanoseconds, NANOSECONDS[unit]))
    assert off == 0 if unit in ("seconds", "milliseconds") else off <= Fraction(1, 2 * 10**9)


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [("milliseconds", "5400000.000001"), ("seconds", "5400.000000001"), ("minutes", "90"), ("hours", "1.5")],
)
def test_a_block_counts_how_long_it_took(producer: InMemoryProducer, clock: Clock, unit: Unit, quantity: str) -> None:
    with producer.usage("acme", "gpu", unit=unit, subject="job-1", properties={"gpu": "a"}) as use:
        clock.now += 5_400_000_000_001
        use.properties["ok"] = True
    (event,) = producer.assert_tracked("acme", "gpu", quantity, times=1)
    assert (event.subject, event.properties) == ("job-1", {"gpu": "a", "ok": True})


def test_the_time_of_the_event_is_the_end_of_the_block(producer: InMemoryProducer) -> None:
    with producer.usage("acme", "gpu"):
        ended = datetime.now(UTC)
    (event,) = producer.events
    assert event.timestamp >= ended - timedelta(milliseconds=1)


def test_what_is_set_or_added_counts_instead_of_the_duration(producer: InMemoryProducer) -> None:
    with producer.usage("acme", "tokens") as use:
        assert use.quantity is None
        use.quantity = 5
    with localcontext(Context(prec=3)), producer.usage("acme", "tokens") as use:
        use.add(Decimal("0.000000001"))
        use.add("123456789")
        use.add()
        assert use.quantity == Decimal("123456790.000000001")
    assert [event.quantity for event in producer.events] == [5, Decimal("123456790.000000001")]


def test_id_and_subject_may_be_known_within_the_block(producer: InMemoryProducer) -> None:
    with producer.usage("acme", "jobs") as use:
        use.id, use.subject = "job-7", "user-1"
    producer.assert_tracked("acme", "jobs", id="job-7", subject="user-1", times=1)


@pytest.mark.parametrize(("when", "times"), [("success", 0), ("always", 1)])
def test_a_block_that_raises_counts_only_if_asked_for(producer: InMemoryProducer, when: Any, times: int) -> None:
    with pytest.raises(KeyError), producer.usage("acme", "gpu", when=when):
        raise KeyError("x")
    producer.assert_tracked("acme", "gpu", times=times)


def test_a_generator_that_is_closed_has_not_failed(producer: InMemoryProducer) -> None:
    def rows() -> Iterator[int]:
        with producer.usage("acme", "rows") as use:
            for number in range(9):
                use.add()
                yield number

    found = rows()
    next(found)
    next(found)
    found.close()  # type: ignore[attr-defined]
    producer.assert_tracked("acme", "rows", 2, times=1)


def test_it_is_for_async_with_too(producer: InMemoryProducer) -> None:
    async def run(fail: bool) -> None:
        async with producer.usage("acme", "gpu") as use:
            await asyncio.sleep(0)
            use.quantity = 3
            if fail:
                raise KeyError("x")

    asyncio.run(run(False))
    with pytest.raises(KeyError):
        asyncio.run(run(True))
    producer.assert_tracked("acme", "gpu", 3, times=1)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("wrong", [1.5, "x", None, "0.0000000001", 10**18, Unprintable()], ids=lambda each: type(each))
@pytest.mark.parametrize("by", ["set", "add", "tenant", "subject", "properties"])
def test_what_cannot_be_counted_is_counted_and_the_block_never_notices(
    producer: InMemoryProducer, wrong: Any, by: str
) -> None:
    before = usage_errors()
    with producer.usage(wrong if by == "tenant" else "acme", "gpu") as use:
        if by == "set":
            use.quantity = wrong
        elif by == "add":
            use.add(wrong)
        elif by == "subject":
            use.subject = 7  # type: ignore[assignment]
        elif by == "properties":
            use.properties = {"x": object()}
    taken = by == "tenant" and isinstance(wrong, str)  # any text is a name
    assert len(producer.events) == taken
    assert usage_errors() - before == (not taken)


def test_a_wrong_unit_or_when_is_said_at_once(producer: InMemoryProducer) -> None:
    with pytest.raises(ConfigurationError, match="milliseconds, seconds, minutes, hours"):
        producer.usage("acme", "gpu", unit="days")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'success' or 'always'"):
        Usage(producer, "acme", "gpu", when="never")  # type: ignore[arg-type]
