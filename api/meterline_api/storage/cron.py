"""When storage is measured: cron's five fields, read by APScheduler, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.triggers.cron import CronTrigger

_LEAST: Final = timedelta(milliseconds=1)


def trigger(schedule: str) -> CronTrigger:
    """What fires at a schedule's instants.

    Raises:
        ValueError: it is no schedule; the text says how to write one.
    """
    fields = schedule.split()
    if len(fields) == 5 and any(character.isdigit() for character in fields[4]):
        # cron's 0 is Sunday and APScheduler's Monday
        raise ValueError("days of the week are written as names, such as sun or mon-fri: `0 3 * * mon-fri`")
    try:
        return CronTrigger.from_crontab(schedule, timezone=UTC)
    except (ValueError, LookupError) as error:
        raise ValueError(
            f"{error}; write minute, hour, day, month and day of the week like `0 3 * * *`: at 03:00 UTC"
        ) from None


def latest(fires: CronTrigger, now: datetime, grace: timedelta) -> datetime | None:
    """The last instant at which it was to fire, at most ``grace`` before ``now``."""
    found = None
    instant = fires.get_next_fire_time(None, now - grace)
    while instant is not None and instant <= now:
        found = instant
        instant = fires.get_next_fire_time(None, instant + _LEAST)
    return found.astimezone(UTC) if found is not None else None
