"""The buffer: bounded, and every event is accounted for at every moment."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline.buffer import Buffer, MemoryBuffer, Stats
from meterline.errors import BufferFullError
from meterline.limits import Limits
from meterline.records import Batch, Record


def buffer(max_events: int, max_bytes: int, **more: object) -> MemoryBuffer:
    return MemoryBuffer(Limits(max_events=max_events, max_bytes=max_bytes, **more))  # type: ignore[arg-type]


def all_of(batch: Batch | None) -> Record:
    """One record of all the lines."""
    assert batch is not None
    return Record(0, b"", len(batch.lines), sum(size for _tenant, _text, size in batch.lines), batch)


def balanced(stats: Stats) -> bool:
    return stats.tracked == stats.acknowledged + stats.failed + stats.dropped + stats.pending


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 20), st.integers(1, 200), st.booleans())
def test_what_exceeds_either_limit_is_dropped_and_counted(
    sizes: list[int], max_events: int, max_bytes: int, acknowledged: bool
) -> None:
    lines = buffer(max_events, max_bytes)
    held: list[int] = []
    for size in sizes:
        fits = len(held) < max_events and sum(held) + size <= max_bytes
        held += [size] if fits else []
        assert lines.put(("t", "x" * size, size)) is fits
        assert balanced(lines.stats())
    dropped = len(sizes) - len(held)
    assert lines.stats() == Stats(tracked=len(sizes), dropped=dropped, pending=len(held))
    batch = lines.take()
    if not held:
        assert batch is None
        return
    assert batch is not None
    assert [size for _tenant, _text, size in batch.lines] == held
    lines.settle(all_of(batch), 0 if acknowledged else len(held))
    assert lines.stats() == Stats(len(sizes), *((len(held), 0) if acknowledged else (0, len(held))), dropped, 0)


def test_room_comes_back_only_when_an_outcome_is_known() -> None:
    lines = buffer(1, 100)
    lines.put(("t", "x", 1))
    record = all_of(lines.take())
    lines.put(("t", "y", 1))
    assert lines.stats().dropped == 1
    lines.settle(record)
    lines.put(("t", "z", 1))
    assert lines.stats() == Stats(tracked=3, acknowledged=1, dropped=1, pending=1)


def test_a_record_may_fail_in_part() -> None:
    lines = buffer(10, 100)
    for _ in range(5):
        lines.put(("t", "x", 1))
    lines.settle(all_of(lines.take()), 2)
    assert lines.stats() == Stats(tracked=5, acknowledged=3, failed=2)


def test_an_outcome_after_giving_up_changes_nothing() -> None:
    lines = buffer(10, 100)
    lines.put(("t", "x", 1))
    record = all_of(lines.take())
    assert lines.give_up() == 1
    lines.settle(record)
    assert lines.stats() == Stats(tracked=1, failed=1)


def test_who_asked_to_be_told_is_told() -> None:
    lines = buffer(1, 100, when_full="raise")
    lines.put(("t", "x", 1))
    with pytest.raises(BufferFullError, match="at most 1 "):
        lines.put(("t", "x", 1))
    assert lines.stats() == Stats(tracked=2, dropped=1, pending=1)


def test_an_event_may_wait_for_room() -> None:
    lines = buffer(1, 100, wait_seconds=60)
    lines.put(("t", "x", 1))
    record = all_of(lines.take())
    taken: list[bool] = []
    waits = threading.Thread(target=lambda: taken.append(lines.put(("t", "y", 1))))
    waits.start()
    deadline = time.monotonic() + 10
    while not lines._wait_for_room and time.monotonic() < deadline:
        time.sleep(0.001)
    assert taken == []
    lines.settle(record)
    waits.join(10)
    assert taken == [True]
    assert lines.stats() == Stats(tracked=2, acknowledged=1, pending=1)


def test_an_event_that_waited_in_vain_is_dropped() -> None:
    lines = buffer(1, 100, wait_seconds=0.01)
    lines.put(("t", "x", 1))
    assert lines.put(("t", "y", 1)) is False
    assert lines.stats() == Stats(tracked=2, dropped=1, pending=1)


def test_an_event_loop_is_never_held_up() -> None:
    lines = buffer(1, 100, wait_seconds=3_600)
    lines.put(("t", "x", 1))

    async def track() -> bool:
        return lines.put(("t", "y", 1))

    assert asyncio.run(track()) is False


def test_a_sleeping_sender_wakes_at_the_first_event() -> None:
    lines: Buffer = buffer(10, 100)
    woken = threading.Event()

    def sleep() -> None:
        lines.sleep_while_empty(60)
        woken.set()

    threading.Thread(target=sleep, daemon=True).start()
    deadline = time.monotonic() + 10
    while not lines._asleep and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not woken.is_set()
    lines.put(("t", "x", 1))
    assert woken.wait(10)


def test_waiting_ends_at_its_deadline_and_says_what_is_left() -> None:
    lines = buffer(10, 100)
    lines.put(("t", "x", 1))
    assert lines.wait_until_settled(0.01) == 1
    lines.settle(all_of(lines.take()))
    assert lines.wait_until_settled(60) == 0


def test_the_counts_hold_while_events_wait_for_room() -> None:
    lines = buffer(1, 100, wait_seconds=60)
    lines.put(("t", "x", 1))
    record = all_of(lines.take())
    waits = threading.Thread(target=lambda: lines.put(("t", "y", 1)))
    waits.start()
    deadline = time.monotonic() + 10
    while not lines._wait_for_room and time.monotonic() < deadline:
        time.sleep(0.001)
    assert balanced(lines.stats())
    lines.settle(record)
    waits.join(10)
    assert balanced(lines.stats())


def test_events_after_the_end_are_dropped_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    lines = buffer(10, 100)
    lines.closed = True
    for _ in range(3):
        assert lines.put(("t", "x", 1)) is False
    assert lines.stats() == Stats(tracked=3, dropped=3)
    assert caplog.text.count("after close()") == 1


def test_threads_lose_no_count() -> None:
    lines = buffer(5_000, 10**9)

    def work() -> None:
        for _ in range(2_000):
            lines.put(("t", "x", 1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert lines.stats() == Stats(tracked=16_000, dropped=11_000, pending=5_000)
