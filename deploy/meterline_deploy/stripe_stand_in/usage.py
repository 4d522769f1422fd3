"""What a meter counts: which of its readings stand, and what they amount to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

WINDOWS: Final = {"hour": 3_600, "day": 86_400}
"""Seconds; windows are UTC."""


class Reading(NamedTuple):
    """``timestamp`` is Unix seconds; ``order`` is that in which Stripe received it."""

    timestamp: int
    value: int
    order: int


def standing(readings: Iterable[Reading], window: str | None) -> list[Reading]:
    """The readings that count: of each window the one received last; without windows all of them."""
    if window is None:
        return list(readings)
    last: dict[int, Reading] = {}
    for reading in readings:
        start = reading.timestamp // WINDOWS[window]
        if start not in last or reading.order > last[start].order:
            last[start] = reading
    return list(last.values())


def amount(readings: Iterable[Reading], formula: str) -> int:
    """Their sum, their number, or the value of the latest of them; 0 for none."""
    readings = list(readings)
    if formula == "count":
        return len(readings)
    if formula == "last":
        latest = max(readings, key=lambda reading: (reading.timestamp, reading.order), default=None)
        return latest.value if latest else 0
    return sum(reading.value for reading in readings)


def between(readings: Iterable[Reading], start: int, end: int) -> list[Reading]:
    return [reading for reading in readings if start <= reading.timestamp < end]


def billed(readings: Iterable[Reading], window: str | None, start: int, end: int) -> list[Reading]:
    """The standing readings of one billing period.

    Of windows only whole ones are billed: that in which a period ends is billed with the next period.
    """
    stand = standing(readings, window)
    if window is None:
        return between(stand, start, end)
    length = WINDOWS[window]
    return [reading for reading in stand if start < (reading.timestamp // length + 1) * length <= end]


def grouped(readings: Iterable[Reading], seconds: int) -> dict[int, list[Reading]]:
    """By the start of the hour or day that each is in, oldest first."""
    groups: dict[int, list[Reading]] = {}
    for reading in sorted(readings):
        groups.setdefault(reading.timestamp // seconds * seconds, []).append(reading)
    return groups
