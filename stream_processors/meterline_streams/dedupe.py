"""The dedupe index: which ids were seen within the horizon, 20 bytes an id in memory and in the state topic.

An open-addressing hash table in numpy arrays, probed for a whole batch at once. An entry is the 128-bit hash of
``(tenant_id, id)`` and the append time, in whole seconds, at which the id last counted as new. An id is a repeat
while ``now - time <= horizon``; what is older is taken for empty when its id comes again, and dropped when the table
is rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

# one entry as it is written to the state topic
ENTRY: Final = np.dtype([("low", "<u8"), ("high", "<u8"), ("seconds", "<u4")])

_FULLEST: Final = 0.6
_EMPTIEST: Final = 0.4
_SMALLEST: Final = 4096
_WINDOW: Final = np.arange(8)  # slots looked at together: they mostly share a cache line
_FEW: Final = 32  # ids: below it numpy's calls cost more than a loop

_U32 = NDArray[np.uint32]
_U64 = NDArray[np.uint64]


def digest(tenant_id: str, id: str) -> bytes:
    """128 bits of an event's identity; the length in front keeps ("a", "bc") and ("ab", "c") apart."""
    hashed: bytes = xxhash.xxh3_128_digest(f"{len(tenant_id)}:{tenant_id}{id}".encode())
    return hashed


def entries_of(digests: Iterable[bytes], seconds: Iterable[int], count: int) -> NDArray[np.void]:
    """Entries, in order, from digests and the append times they came at."""
    entries = np.empty(count, ENTRY)
    halves = np.frombuffer(b"".join(digests), "<u8").reshape(count, 2)
    entries["low"] = halves[:, 0]
    entries["high"] = halves[:, 1]
    entries["seconds"] = np.fromiter(seconds, np.uint32, count)
    return entries


def entries_from(value: bytes) -> NDArray[np.void]:
    """Entries back from the bytes that ``tobytes`` made of them."""
    return np.frombuffer(value, ENTRY)


class IdIndex:
    """The ids of one partition. ``horizon`` is in whole seconds, rounded up by the caller."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self._allocate(_SMALLEST)

    def __len__(self) -> int:
        """Entries held, expired ones that were not dropped yet included."""
        return self._used

    def add(self, entries: NDArray[np.void]) -> NDArray[np.bool_]:
        """Take in ids in the order of their arrival; True where one is new, False where it is a repeat.

        Times must not fall from one entry to the next.
        """
        fresh = np.empty(len(entries), np.bool_)
        start = 0
        seconds = entries["seconds"]
        while start < len(entries):
            # within a run that spans no more than the horizon, a second copy is always a repeat of the first
            end = int(np.searchsorted(seconds, int(seconds[start]) + self.horizon, side="right"))
            if self._used + (end - start) > _FULLEST * self._capacity:
                self._rebuild(int(seconds[start]), end - start)
            fresh[start:end] = self._add_run(entries[start:end])
            start = end
        return fresh

    def _add_run(self, entries: NDArray[np.void]) -> NDArray[np.bool_]:
        low: _U64 = np.ascontiguousarray(entries["low"])
        high: _U64 = np.ascontiguousarray(entries["high"])
        now: _U32 = np.ascontiguousarray(entries["seconds"])
        fresh = np.zeros(len(entries), np.bool_)
        waiting = np.arange(len(entries))
        slots = self._home(high)
        while waiting.size > _FEW:
            window = slots[:, None] + _WINDOW
            window[window >= self._capacity] -= self._capacity
            # where each one's search ends: at the first slot that is empty or looks like its own
            ends = (self._seconds[window] == 0) | (self._low[window] == low[waiting][:, None])
            ends[:, -1] |= ~(found := ends.any(axis=1))
            rows, at = np.arange(waiting.size), ends.argmax(axis=1)
            slots = window[rows, at]
            held = self._seconds[slots]
            empty = held == 0
            passing = ~found
            alike = np.flatnonzero(~empty & ~passing)
            others = self._high[slots[alike]] != high[waiting[alike]]
            passing[alike[others]] = True
            alike = alike[~others]
            claim = empty & ~passing
            claim[alike] = held[alike].astype(np.int64) + self.horizon < now[waiting[alike]]
            claimed, claimants = slots[claim], waiting[claim]
            # several may claim one slot: the earliest wins, so write in reverse and see whose number stayed
            self._seconds[claimed[::-1]] = claimants[::-1]
            won = self._seconds[claimed] == claimants
            slot, winner = claimed[won], claimants[won]
            self._used += int(np.count_nonzero(empty[claim][won]))
            self._low[slot] = low[winner]
            self._high[slot] = high[winner]
            self._seconds[slot] = now[winner]
            fresh[winner] = True
            # a loser looks at its slot again: the winner may be its own id. Others go to the next slot.
            lost = ~won
            following = slots[passing] + 1
            following[following == self._capacity] = 0
            slots = np.concatenate((claimed[lost], following))
            waiting = np.concatenate((claimants[lost], waiting[passing]))
        order = np.argsort(waiting)
        for number, home in zip(waiting[order].tolist(), slots[order].tolist(), strict=True):
            fresh[number] = self._add_one(home, int(low[number]), int(high[number]), int(now[number]))
        return fresh

    def _add_one(self, slot: int, low: int, high: int, now: int) -> bool:
        """The same for a single id, from ``slot`` on: the last few of a batch are cheaper one by one."""
        while True:
            held = int(self._seconds[slot])
            same = held != 0 and self._low[slot] == low and self._high[slot] == high
            if same and held + self.horizon >= now:
                return False
            if same or held == 0:
                self._used += held == 0
                self._low[slot], self._high[slot], self._seconds[slot] = low, high, now
                return True
            slot = (slot + 1) % self._capacity

    def _home(self, high: _U64) -> NDArray[np.intp]:
        """The slot where the search for each id begins; it rises with ``high``."""
        return ((high >> np.uint64(32)) * np.uint64(self._capacity) >> np.uint64(32)).astype(np.intp)

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._low: _U64 = np.zeros(capacity, np.uint64)
        self._high: _U64 = np.zeros(capacity, np.uint64)
        self._seconds: _U32 = np.zeros(capacity, np.uint32)

    def _rebuild(self, now: int, more: int) -> None:
        """Drop what expired before ``now`` and make room for ``more`` entries."""
        live = (self._seconds != 0) & (self._seconds.astype(np.int64) + self.horizon >= now)
        low, high, seconds = self._low[live], self._high[live], self._seconds[live]
        self._allocate(max(_SMALLEST, int((len(low) + more) / _EMPTIEST)))
        # probing one after the other in the order of homes puts each at its home or right behind the one before
        order = np.argsort(high, kind="stable")
        number = np.arange(len(order))
        slots = number + np.maximum.accumulate(self._home(high[order]) - number)
        inside = slots < self._capacity
        order, rest, slots = order[inside], order[~inside], slots[inside]
        self._low[slots], self._high[slots], self._seconds[slots] = low[order], high[order], seconds[order]
        self._used = len(order)
        for index in rest.tolist():  # past the end: on from the beginning
            self._add_one(0, int(low[index]), int(high[index]), int(seconds[index]))
