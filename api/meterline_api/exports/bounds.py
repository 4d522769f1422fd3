"""From when to when an export is. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from meterline_api.exports.selection import milliseconds
from meterline_schemas.errors import MeterlineError

_HOUR: Final = timedelta(hours=1)
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)  # what DateTime holds


class BoundsError(MeterlineError):
    """What was asked for is no range."""


def bounds(start: datetime | None, end: datetime | None, now: datetime, *, hours: bool) -> tuple[int, int]:
    """Milliseconds since 1970. By default from the start of the month that ``end`` ends to the end of this hour.

    Raises:
        BoundsError: it is empty, no whole ``hours``, or none that usage can lie in.
    """
    last = _whole(now) + _HOUR if end is None else _utc(end)
    first = _whole(last - timedelta(microseconds=1)).replace(day=1, hour=0) if start is None else _utc(start)
    if first >= last:
        raise BoundsError("from must be before to")
    if hours:
        for name, moment in (("from", first), ("to", last)):
            if moment != _whole(moment):
                below = _whole(moment).strftime("%Y-%m-%dT%H:%M:%SZ")
                raise BoundsError(f"{name} must be a whole hour in UTC, such as {below}: usage is kept by the hour")
    return milliseconds(first), milliseconds(last)


def bounded(moment: datetime | None) -> datetime | None:
    """An end of a range in UTC, where it is given.

    Raises:
        BoundsError: nothing can lie there.
    """
    return None if moment is None else _utc(moment)


def _utc(moment: datetime) -> datetime:
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        found = _FIRST - _HOUR
    if not _FIRST <= found <= _LAST:
        raise BoundsError("usage lies between 1970 and 2105")
    return found


def _whole(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
