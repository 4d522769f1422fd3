"""Months of revenue, each a number: twelve for a year, from year 0. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

PATTERN: Final = r"^(19[7-9]\d|2[01]\d\d)-(0[1-9]|1[0-2])$"
BEFORE_END: Final = timedelta(hours=12)
"""By how much the instant that says a document's month lies before the end of its period.

So a calendar month is the month of its name wherever the tenant is: it ends at most 14 hours before that month does in
UTC, or 11 after it.
"""


def month_of(moment: datetime) -> int:
    """The month in UTC that an instant lies in."""
    utc = moment.astimezone(UTC)
    return utc.year * 12 + utc.month - 1


def read_month(text: str) -> int:
    """``2026-11``, which ``PATTERN`` matches."""
    year, month = text.split("-")
    return int(year) * 12 + int(month) - 1


def write_month(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"


def begin_of(month: int) -> datetime:
    """The first instant of a month in UTC."""
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
