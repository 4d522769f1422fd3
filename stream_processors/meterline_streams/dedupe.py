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
        self._newest = 0
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
            self._newest = max(self._newest, int(seconds[end - 1]))
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
        waiting = np.arange(len(entries), dtype=np.uint32)
        slots = self._home(high)
        while waiting.size:
            held = self._seconds[slots]
            empty = held == 0
            same = (self._low[slots] == low[waiting]) & (self._high[slots] == high[waiting]) & ~empty
            repeat = same & (held.astype(np.int64) + self.horizon >= now[waiting])
            claim = empty | (same & ~repeat)
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
            lost = np.zeros(waiting.size, np.bool_)
            lost[claim] = ~won
            passing = ~claim & ~repeat
            slots = np.concatenate((slots[lost], (slots[passing] + np.uint64(1)) % np.uint64(self._capacity)))
            waiting = np.concatenate((waiting[lost], waiting[passing]))
        return fresh

    def _home(self, high: _U64) -> _U64:
        return (high >> np.uint64(32)) * np.uint64(self._capacity) >> np.uint64(32)

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._low: _U64 = np.zeros(capacity, np.uint64)
        self._high: _U64 = np.zeros(capacity, np.uint64)
        self._seconds: _U32 = np.zeros(capacity, np.uint32)

    def _rebuild(self, now: int, more: int) -> None:
        """Drop what expired before ``now`` and make room for ``more`` entries."""
        live = (self._seconds != 0) & (self._seconds.astype(np.int64) + self.horizon >= now)
        entries = np.empty(int(np.count_nonzero(live)), ENTRY)
        entries["low"], entries["high"] = self._low[live], self._high[live]
        entries["seconds"] = self._seconds[live]
        self._allocate(max(_SMALLEST, int((len(entries) + more) / _EMPTIEST)))
        self._add_run(entries)
