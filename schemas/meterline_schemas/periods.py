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

    def bounds(self, instant: datetime) -> tuple[datetime, datetime]:
        """The period that an instant lies in: UTC instants, the second not included."""
        return _bounds(self, instant.astimezone(UTC).replace(minute=instant.minute // 15 * 15, second=0, microsecond=0))


@lru_cache(maxsize=4096)
def _bounds(calendar: Calendar, instant: datetime) -> tuple[datetime, datetime]:
    if calendar.period is Period.NEVER:
        return FIRST, LAST
    zone = ZoneInfo(calendar.zone)
    if calendar.period is Period.HOURLY:
        offset = (instant.astimezone(zone).utcoffset() or timedelta()) % timedelta(hours=1)
        start = (instant + offset).replace(minute=0, second=0, microsecond=0) - offset
        return start, start + timedelta(hours=1)
    local = instant.astimezone(zone)
    if calendar.period is Period.DAILY:
        return _midnight(local.date().toordinal(), zone), _midnight(local.date().toordinal() + 1, zone)
    anchor = calendar.anchor if calendar.period is Period.BILLING else 1
    month = local.year * 12 + local.month - 1
    if instant < _first_day(month, anchor, zone):
        month -= 1
    return _first_day(month, anchor, zone), _first_day(month + 1, anchor, zone)


def _first_day(month: int, anchor: int, zone: ZoneInfo) -> datetime:
    """Where the period of a month (counted from year 0) begins."""
    first = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).toordinal()
    following = datetime((month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=UTC).toordinal()
    return _midnight(min(first + anchor - 1, following - 1), zone)


def _midnight(day: int, zone: ZoneInfo) -> datetime:
    """The first instant of a day: where clocks leap over midnight, the instant of the leap."""
    naive = datetime.fromordinal(day)
    early = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return early
