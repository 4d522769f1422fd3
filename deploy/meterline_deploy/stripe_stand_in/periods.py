"""Billing periods: the instants at which one ends and the next begins. Pure; Unix seconds, UTC."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta


def following(at: int, interval: str, count: int, anchor: int) -> int:
    """The boundary after ``at``; a month that is too short for the anchor's day ends on its last one."""
    if interval in ("day", "week"):
        step = int(timedelta(**{f"{interval}s": count}).total_seconds())
        return at + step - (at - anchor) % step
    months, number = count * (12 if interval == "year" else 1), 0
    first = datetime.fromtimestamp(anchor, UTC)
    now = datetime.fromtimestamp(at, UTC)
    number = ((now.year - first.year) * 12 + now.month - first.month) // months - 1
    while (boundary := _after(first, number * months)) <= at:
        number += 1
    return boundary


def anchored(now: int, config: Mapping[str, int | None]) -> int:
    """The first instant after ``now`` that a billing_cycle_anchor_config names; what it leaves out is as now."""
    at = datetime.fromtimestamp(now, UTC)
    hour, minute, second = (
        fallback if (value := config.get(name)) is None else value
        for name, fallback in (("hour", at.hour), ("minute", at.minute), ("second", at.second))
    )
    month = at.replace(day=1, hour=hour, minute=minute, second=second)
    while True:
        last = calendar.monthrange(month.year, month.month)[1]
        found = int(month.replace(day=min(config["day_of_month"] or 1, last)).timestamp())
        if found > now:
            return found
        month = (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _after(first: datetime, months: int) -> int:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    return int(first.replace(year=year, month=month + 1, day=day).timestamp())
