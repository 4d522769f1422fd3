"""The buffer: bounded, and every event is accounted for at every moment."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from meterline.buffer import Buffer, Stats


def balanced(stats: Stats) -> bool:
    return stats.tracked == stats.acknowledged + stats.failed + stats.dropped + stats.pending


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 20), st.integers(1, 200), st.booleans())
def test_what_exceeds_either_limit_is_dropped_and_counted(
    sizes: list[int], max_events: int, max_bytes: int, acknowledged: bool
) -> None:
    buffer = Buffer(max_events, max_bytes)
    held: list[int] = []
    dropped = 0
    for size in sizes:
        if len(held) < max_events and sum(held) + size <= max_bytes:
            held.append(size)
        else:
            dropped += 1
        buffer.put(("t", "x", size))
        assert balanced(buffer.stats())
    assert buffer.stats() == Stats(tracked=len(sizes), dropped=dropped, pending=len(held))
    assert [size for _tenant, _text, size in buffer.take()] == held
    buffer.settle(len(held), sum(held), acknowledged=acknowledged)
    expected = Stats(len(sizes), *((len(held), 0) if acknowledged else (0, len(held))), dropped, 0)
    assert buffer.stats() == expected


def test_room_comes_back_only_when_an_outcome_is_known() -> None:
    buffer = Buffer(1, 100)
    buffer.put(("t", "x", 1))
    buffer.take()
    buffer.put(("t", "y", 1))
    assert buffer.stats().dropped == 1
    buffer.settle(1, 1, acknowledged=True)
    buffer.put(("t", "z", 1))
    assert buffer.stats() == Stats(tracked=3, acknowledged=1, dropped=1, pending=1)


def test_an_outcome_after_giving_up_changes_nothing() -> None:
    buffer = Buffer(10, 100)
    buffer.put(("t", "x", 1))
    buffer.take()
    assert buffer.give_up() == 1
    buffer.settle(1, 1, acknowledged=True)
    assert buffer.stats() == Stats(tracked=1, failed=1)


def test_a_sleeping_sender_wakes_at_the_first_event() -> None:
    buffer = Buffer(10, 100)
    woken = threading.Event()

    def sleep() -> None:
        buffer.sleep_while_empty(60)
        woken.set()

    threading.Thread(target=sleep, daemon=True).start()
    deadline = time.monotonic() + 10
    while not buffer._asleep and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not woken.is_set()
    buffer.put(("t", "x", 1))
    assert woken.wait(10)


def test_waiting_ends_at_its_deadline_and_says_what_is_left() -> None:
    buffer = Buffer(10, 100)
    buffer.put(("t", "x", 1))
    assert buffer.wait_until_settled(0.01) == 1
    buffer.settle(1, 1, acknowledged=True)
    assert buffer.wait_until_settled(60) == 0


def test_threads_lose_no_count() -> None:
    buffer = Buffer(5_000, 10**9)

    def work() -> None:
        for _ in range(2_000):
            buffer.put(("t", "x", 1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffer.stats() == Stats(tracked=16_000, dropped=11_000, pending=5_000)
