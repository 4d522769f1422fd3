"""The id index against a dict that does the same one id at a time."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_streams import dedupe
from meterline_streams.dedupe import ENTRY, IdIndex

HORIZON = 100


def _entries(arrivals: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """(id, seconds) as entries. Ids share homes and even halves, so that every kind of collision happens."""
    entries = np.empty(len(arrivals), ENTRY)
    entries["low"] = [id % 7 for id, _ in arrivals]
    entries["high"] = [(id % 5) << 61 | id for id, _ in arrivals]
    entries["seconds"] = [seconds for _, seconds in arrivals]
    return entries


def _plainly(arrivals: list[tuple[int, int]]) -> list[bool]:
    counted: dict[int, int] = {}
    fresh = []
    for id, seconds in arrivals:
        new = id not in counted or seconds - counted[id] > HORIZON
        fresh.append(new)
        if new:
            counted[id] = seconds
    return fresh


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40)), max_size=1500),
    st.lists(st.integers(1, 400), min_size=1),
    st.sampled_from([0, 3, 32, 10_000]),
)
@settings(deadline=None, max_examples=300)
def test_any_batches_answer_as_a_dict_does(steps: list[tuple[int, int]], sizes: list[int], few: int) -> None:
    now, arrivals = 1_000, []
    for id, passed in steps:
        now += passed // 10
        arrivals.append((id, now))
    expected = _plainly(arrivals)
    # few: where the loop takes over; 8: a table that is rebuilt all the time
    with patch.multiple(dedupe, _FEW=few, _SMALLEST=8):
        index, found, start, turn = IdIndex(HORIZON), [], 0, 0
        while start < len(arrivals):
            size = sizes[turn % len(sizes)]
            found += index.add(_entries(arrivals[start : start + size])).tolist()
            start, turn = start + size, turn + 1
    assert found == expected


def test_a_million_ids_are_new_once_and_repeats_ever_after() -> None:
    rng = np.random.default_rng(3)
    entries = np.empty(1_000_000, ENTRY)
    entries["low"] = rng.integers(0, 2**64, len(entries), dtype=np.uint64)
    entries["high"] = rng.integers(0, 2**64, len(entries), dtype=np.uint64)
    entries["seconds"] = np.sort(rng.integers(1_000, 1_000 + HORIZON, len(entries)))
    index = IdIndex(HORIZON)
    for start in range(0, len(entries), 7_001):
        assert index.add(entries[start : start + 7_001]).all()
    assert len(index) == len(entries)
    again = entries[rng.permutation(len(entries))[:100_000]]
    again["seconds"] = 1_000 + HORIZON
    assert not index.add(again).any()
