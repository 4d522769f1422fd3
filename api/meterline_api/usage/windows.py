"""Windows as instants: where each begins in a time zone, over a range. Pure.

Instants are whole seconds since 1970. A day may have 23 or 25 hours; every instant lies in exactly one window.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final, Self
from zoneinfo import ZoneInfo

from meterline_schemas.periods import Calendar, Period

MAX_WINDOWS: Final = 10_000  # of a request, where they have no common length
_HOUR: Final = 3600
_WEEK: Final = 7 * 24 * _HOUR
_MONDAY: Final = 4 * 24 * _HOUR  # the first one: 1970-01-05


class Window(StrEnum):
    """``week`` is that of ISO 8601, from Monday. ``billing`` is a month from the tenant's billing anchor."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    BILLING = "billing"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls(DURATIONS[value]) if isinstance(value, str) and value in DURATIONS else None


DURATIONS: Final = {"PT1M": "minute", "PT1H": "hour", "P1D": "day", "P1W": "week", "P1M": "month"}
_LENGTHS: Final = {Window.MINUTE: 60, Window.HOUR: _HOUR, Window.DAY: 24 * _HOUR, Window.WEEK: _WEEK}
_SHORTEST: Final = {**_LENGTHS, Window.MONTH: 28 * 24 * _HOUR, Window.BILLING: 28 * 24 * _HOUR}


class TooManyWindowsError(ValueError):
    """The range has more windows than are worked out for one request."""


@dataclass(frozen=True)
class Zone:
    """What windows follow: an IANA zone and, for ``billing``, the day of the month that a period begins on."""

    name: str = "UTC"
    anchor: int = 1


@dataclass(frozen=True)
class Cut:
    """``[start, end)`` in windows. ``edges`` are those of whole windows: the first begins at or before ``start``, the
    last ends at or after ``end``. It is a ``range`` where all windows are equally long.
    """

    start: int
    end: int
    edges: Sequence[int]

    @property
    def on_hours(self) -> bool:
        """Whether every part begins and ends with a whole hour in UTC."""
        inner = self.edges[1:-1]
        if isinstance(inner, range) and len(inner) > 1 and inner.step % _HOUR:
            return False
        looked_at = inner[:1] if isinstance(inner, range) else inner
        return not any(edge % _HOUR for edge in (self.start, self.end, *looked_at))

    def place(self, instant: int) -> int:
        """Which window an instant lies in, from 0."""
        return bisect_right(self.edges, instant) - 1

    def bounds(self, place: int) -> tuple[int, int]:
        """``[begin, end)`` of the part of a window that is within."""
        return max(self.edges[place], self.start), min(self.edges[place + 1], self.end)

    def after(self, begin: int) -> Self:
        """What is left without the windows whose part begins before ``begin``; it may be nothing."""
        if begin <= self.start:
            return self
        place = bisect_left(self.edges, begin)
        if place >= len(self.edges) - 1:
            return type(self)(self.end, self.end, range(self.end, self.end + 2))
        return type(self)(self.edges[place], self.end, self.edges[place:])

    @property
    def runs(self) -> list[tuple[int, int, int]]:
        """The edges as ``(first, step, how many)``: far fewer than edges, as most windows are equally long."""
        found: list[tuple[int, int, int]] = []
        for edge in self.edges:
            if found:
                first, step, count = found[-1]
                if count == 1 or edge == first + step * count:
                    found[-1] = (first, edge - first if count == 1 else step, count + 1)
                    continue
            found.append((edge, 1, 1))
        return found


def cut(window: Window | None, zone: Zone, start: int, end: int) -> Cut:
    """
    Raises:
        TooManyWindowsError: there are more than ``MAX_WINDOWS``.
    """
    return Cut(start, end, edges(window, zone, start, end))


def before(window: Window | None, zone: Zone, whole: Cut) -> Cut:
    """The windows before those of ``whole``, one for each and in their order, none of them cut.

    Without a window: the time before the range, as long as the range.
    """
    if window is None:
        length = whole.end - whole.start
        return Cut(max(whole.start - length, 0), whole.start, range(whole.start - length, whole.start + 1, length))
    first = whole.edges[0]
    earlier = edges(window, zone, first - 1, first)[0]
    rest = whole.edges[:-1]
    if isinstance(rest, range) and (len(rest) == 1 or rest.step == first - earlier):
        found: Sequence[int] = range(earlier, rest[-1] + 1, first - earlier)
    else:
        found = (earlier, *rest)
    return Cut(max(earlier, 0), max(found[-1], 0), found)


def whole_hours(zone: str, start: int, end: int) -> bool:
    """Whether the zone is whole hours from UTC all over ``[start, end)``."""
    if zone == "UTC":
        return True
    local = ZoneInfo(zone)
    looked_at = [*range(start, end, _WEEK), end]
    return not any(_offset(at, local) % timedelta(hours=1) for at in looked_at)


@lru_cache(maxsize=256)
def edges(window: Window | None, zone: Zone, start: int, end: int) -> Sequence[int]:
    """The edges of all windows that ``[start, end)`` touches.

    Raises:
        TooManyWindowsError: there are more than ``MAX_WINDOWS``.
    """
    if window is None:
        return range(start, end + 1, end - start)
    if window in (Window.MINUTE, Window.HOUR) and (window is Window.MINUTE or whole_hours(zone.name, start, end)):
        return _regular(0, _LENGTHS[window], start, end)
    if zone.name == "UTC" and window in _LENGTHS:
        return _regular(_MONDAY if window is Window.WEEK else 0, _LENGTHS[window], start, end)
    if (end - start) // _SHORTEST[window] > MAX_WINDOWS:
        raise TooManyWindowsError(
            f"the range has more than {MAX_WINDOWS:,} windows of a {window}; ask for a shorter one, or a longer window"
        )
    found: list[int] = []
    for edge in _hours(zone.name, start) if window is Window.HOUR else _civil(window, zone, start):
        if found and edge <= found[-1]:
            continue  # a day that the zone's calendar left out
        if edge <= start:
            found = []
        found.append(edge)
        if edge >= end:
            break
    steps = {later - earlier for earlier, later in pairwise(found)}
    return range(found[0], found[-1] + 1, steps.pop()) if len(steps) == 1 else tuple(found)


def _regular(origin: int, step: int, start: int, end: int) -> range:
    first = start - (start - origin) % step
    last = end + (origin - end) % step
    return range(first, last + 1, step)


def _hours(zone: str, start: int) -> Iterator[int]:
    """From the hour that ``start`` lies in."""
    calendar = Calendar(Period.HOURLY, zone)
    edge, following = calendar.bounds(datetime.fromtimestamp(start, UTC))
    yield int(edge.timestamp())
    while True:
        yield int(following.timestamp())
        _edge, following = calendar.bounds(following)


def _civil(window: Window, zone: Zone, start: int) -> Iterator[int]:
    """From at most two windows before the one that ``start`` lies in."""
    local = ZoneInfo(zone.name)
    day = datetime.fromtimestamp(start, local).date()
    if window in (Window.DAY, Window.WEEK):
        length = 1 if window is Window.DAY else 7
        ordinal = day.toordinal() - 2 * length
        ordinal -= (ordinal - 1) % length  # day 1 of the calendar was a Monday
        while True:
            yield _midnight(ordinal, local)
            ordinal += length
    anchor = zone.anchor if window is Window.BILLING else 1
    month = day.year * 12 + day.month - 3
    while True:
        first, following = (datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC).toordinal() for m in (month, month + 1))
        yield _midnight(min(first + anchor - 1, following - 1), local)
        month += 1


def _midnight(ordinal: int, local: ZoneInfo) -> int:
    """The first instant of a day: where clocks leap over midnight, the instant of the leap."""
    return int(datetime.fromordinal(ordinal).replace(tzinfo=local).timestamp())


def _offset(at: int, local: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(at, local).utcoffset() or timedelta()
