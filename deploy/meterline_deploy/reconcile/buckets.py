"""Comparing many rows by few numbers: a count and a sum of hashes for each bucket. Pure.

The sum, modulo 2^64, does not depend on the order of rows. Buckets that differ are compared row by row; two that are
equal by chance where their rows are not is one in 10^19.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

Sums = Mapping[int, tuple[int, int]]  # bucket → number of rows, sum of their hashes modulo 2^64

LATE: Final = 1 << 63  # beside the offset, the order in which copies of one event stand: on time first, then first
KEY_SHIFT: Final = 52  # the bucket of a row by its key: the upper 12 bits of the key's hash, 4096 buckets


@dataclass
class Hashes:
    """Rows by their hashes: of the key, of the row, and the rank that says which of one key's copies stands.

    Of several copies the one with the lowest rank stands; ``places`` is what a row is bucketed by.
    """

    keys: array[int] = field(default_factory=lambda: array("Q"))
    rows: array[int] = field(default_factory=lambda: array("Q"))
    ranks: array[int] = field(default_factory=lambda: array("Q"))
    places: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: int, row: int, rank: int, place: int) -> None:
        self.keys.append(key)
        self.rows.append(row)
        self.ranks.append(rank)
        self.places.append(place)

    def standing(self, start: int, end: int) -> Standing:
        """The rows that stand among those at places from ``start`` to before ``end``, one for each key."""
        keys, rows, ranks, places = (np.asarray(column) for column in (self.keys, self.rows, self.ranks, self.places))
        kept = (places >= start) & (places < end)
        keys, rows, ranks, places = keys[kept], rows[kept], ranks[kept], places[kept]
        order = np.lexsort((rows, ranks, keys))
        keys, ranks, rows, places = keys[order], ranks[order], rows[order], places[order]
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        # an on-time copy that does not stand was counted twice, unless it is the same line, written twice
        twice = np.zeros(len(keys), np.bool_)
        twice[1:] = ~first[1:] & (ranks[1:] < LATE) & (rows[1:] != rows[:-1])
        return Standing(rows[first], places[first], places[twice], keys[twice])


@dataclass(frozen=True)
class Standing:
    """Hashes and places of the rows that stand; of on-time copies beside an on-time one, places and hashes of keys."""

    rows: U64
    places: NDArray[np.int64]
    twice: NDArray[np.int64]
    twice_keys: U64

    def sums(self, start: int, width: int) -> dict[int, tuple[int, int]]:
        """By bucket, which is ``(place - start) // width``."""
        return sums_of(self.rows, (self.places - start) // width)


def sums_of(rows: U64, buckets: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
    """Number and sum of the hashes of each bucket."""
    if not len(rows):
        return {}
    order = np.argsort(buckets, kind="stable")
    found, first, counts = np.unique(buckets[order], return_index=True, return_counts=True)
    totals = np.add.reduceat(rows[order], first)
    return {int(b): (int(c), int(t)) for b, c, t in zip(found, counts, totals, strict=True)}


def different(expected: Sums, found: Sums) -> list[int]:
    """The buckets whose rows are not the same, in order."""
    return sorted(b for b in expected.keys() | found.keys() if expected.get(b, (0, 0)) != found.get(b, (0, 0)))


def runs(buckets: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbouring buckets together: ``(first, last)``."""
    joined: list[tuple[int, int]] = []
    for bucket in buckets:
        if joined and joined[-1][1] == bucket - 1:
            joined[-1] = (joined[-1][0], bucket)
        else:
            joined.append((bucket, bucket))
    return joined
