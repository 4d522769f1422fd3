"""Periods: the hours, days and months that quotas and thresholds are counted in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_QUARTER: Final = timedelta(minutes=15)  # clocks leap, and days begin, at whole quarters of an hour in UTC


class Period(StrEnum):
    """How often counting begins anew. Closed. ``billing`` is a month from the tenant's billing anchor."""

    NEVER = "never"
    HOURLY = "hourly"
    DAILY = "daily"
    MONTHLY = "monthly"
    BILLING = "billing"


@dataclass(frozen=True)
class Calendar:
    """A period in a time zone. ``anchor`` is the day of the month that a billing month begins on, 1 to 31.

    In a month without that day it begins on the last. Days and months are those of the zone: a day may have 23 or 25
    hours. Hours are those of UTC where the zone is UTC, else they begin with the zone's.
    """

    period: Period
    zone: str = "UTC"
    anchor: int = 1

    def __str__(self) -> str:
        anchor = f"@{self.anchor}" if self.period is Period.BILLING else ""
        zone = f" {self.zone}" if self.zone != "UTC" and self.period is not Period.NEVER else ""
        return f"{self.period}{anchor}{zone}"

    @classmethod
    def parse(cls, text: str) -> Calendar:
        """The calendar that ``str`` wrote.

        Raises:
            ValueError: it wrote no such text.
        """
        head, _, zone = text.partition(" ")
        period, _, anchor = head.partition("@")
        found = cls(Period(period), zone or "UTC", int(anchor or 1))
        if str(found) != text or not 1 <= found.anchor <= 31:
            raise ValueError(f"{text!r} is no calendar; write it like monthly, or billing@15 Europe/Vienna")
        return found

    @property
    def of_hours(self) -> bool:
        """Whether every period begins and ends with a whole UTC hour."""
        return self.period is Period.NEVER or _of_hours(self.zone)

    def bounds(self, instant: datetime) -> tuple[datetime, datetime]:
        """The period that an instant lies in: UTC instants, the second not included."""
        utc = instant.astimezone(UTC)
        return _bounds(self, utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0))


@lru_cache(maxsize=1024)
def _of_hours(zone: str) -> bool:
    offsets = {datetime(2025, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in range(1, 13)}
    return all(offset is not None and offset % timedelta(hours=1) == timedelta() for offset in offsets)


@lru_cache(maxsize=4096)
def _bounds(calendar: Calendar, instant: datetime) -> tuple[datetime, datetime]:
    if calendar.period is Period.NEVER:
        return FIRST, LAST
    zone = ZoneInfo(calendar.zone)
    if calendar.period is Period.HOURLY:
        return _hour(instant, zone)
    local = instant.astimezone(zone)
    # where clocks go back over midnight, a day comes again for an hour that belongs to the next
    if calendar.period is Period.DAILY:
        day = local.date().toordinal()
        while instant >= _midnight(day + 1, zone):
            day += 1
        return _midnight(day, zone), _midnight(day + 1, zone)
    anchor = calendar.anchor if calendar.period is Period.BILLING else 1
    month = local.year * 12 + local.month - 1
    if instant < _first_day(month, anchor, zone):
        month -= 1
    while instant >= _first_day(month + 1, anchor, zone):
        month += 1
    return _first_day(month, anchor, zone), _first_day(month + 1, anchor, zone)


def _hour(instant: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """An hour of the zone; where its clocks leap by a part of one, the hours before and after are cut there."""
    offset = _within_hour(instant, zone)
    start = (instant + offset).replace(minute=0, second=0, microsecond=0) - offset
    end = start + timedelta(hours=1)
    while _within_hour(start, zone) != offset:
        start += _QUARTER
    while _within_hour(end - _QUARTER, zone) != offset:
        end -= _QUARTER
    return start, end


def _within_hour(instant: datetime, zone: ZoneInfo) -> timedelta:
    """The part of the zone's offset from UTC that is not in whole hours."""
    return (instant.astimezone(zone).utcoffset() or timedelta()) % timedelta(hours=1)


def _first_day(month: int, anchor: int, zone: ZoneInfo) -> datetime:
    """Where the period of a month (counted from year 0) begins."""
    first = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).toordinal()
    following = datetime((month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=UTC).toordinal()
    return _midnight(min(first + anchor - 1, following - 1), zone)


def _midnight(day: int, zone: ZoneInfo) -> datetime:
    """The first instant of a day: where clocks leap over midnight, the instant of the leap."""
    return datetime.fromordinal(day).replace(tzinfo=zone, fold=0).astimezone(UTC)
