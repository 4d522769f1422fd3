"""``from`` and ``to`` of requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from meterline_api.problems import Code, Problem
from meterline_schemas.periods import Calendar, Period

_HOUR: Final = timedelta(hours=1)
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)  # what DateTime holds


def range_of(
    start: datetime | None, end: datetime | None, now: datetime, *, zone: str = "UTC", minutes: bool = False
) -> tuple[datetime, datetime]:
    """``from`` and ``to`` of a request, with what stands for them where they are not given: the end of this hour, and
    the start of the month of ``zone`` that ``to`` ends.

    ``minutes``: they may be whole minutes, as the answer comes from events.

    Raises:
        Problem: they are no range of whole hours.
    """
    last = now.replace(minute=0, second=0, microsecond=0) + _HOUR if end is None else _utc(end)
    if not _FIRST < last <= _LAST:
        raise _out_of_range()
    first = Calendar(Period.MONTHLY, zone).bounds(last - timedelta(seconds=1))[0] if start is None else _utc(start)
    for name, instant in [("from", first)] * (start is not None) + [("to", last)] * (end is not None):
        if instant.second or instant.microsecond or (instant.minute and not minutes):
            whole = instant.replace(minute=instant.minute if minutes else 0, second=0, microsecond=0)
            raise _refused(
                f"{name} must be a whole minute, such as {whole:%Y-%m-%dT%H:%M:%SZ}"
                if minutes
                else f"{name} must be a whole hour in UTC, such as {whole:%Y-%m-%dT%H:%M:%SZ}: usage is kept by the "
                "hour. What is computed from the events takes whole minutes: windows of a minute, a timezone whose "
                "hours are no UTC hours, group_by or filter of other fields than tenant_id and metric"
            )
    if first < _FIRST:
        raise _out_of_range()
    if first >= last:
        raise _refused("from must be before to")
    return first, last


def instant_of(instant: datetime) -> datetime:
    """An instant of a request in UTC.

    Raises:
        Problem: no usage can lie there.
    """
    found = _utc(instant)
    if not _FIRST <= found < _LAST:
        raise _out_of_range()
    return found


def _out_of_range() -> Problem:
    return _refused("usage lies between 1970 and 2105")


def _refused(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, detail)


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _LAST + _HOUR  # refused below
