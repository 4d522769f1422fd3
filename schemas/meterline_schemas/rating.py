"""What usage comes to against a limit and at a price, as all answers and notifications say it. Pure.

Amounts are integers of nano-units, what comes out is a plain decimal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from meterline_schemas.quantity import NANO, format_nano

_MILLISECOND: Final = timedelta(milliseconds=1)
_HOUR: Final = 3_600_000  # milliseconds


def reached(used: int, level: int) -> bool:
    """Whether as much as ``level`` was used; 0 is reached by any usage, and not by none."""
    return used >= max(level, 1)


def percent(used: int, limit: int) -> str:
    """``used`` in percent of ``limit``, cut to two decimals; of a limit of 0 it is 100 for any usage, and else 0."""
    if limit == 0:
        return "100" if used > 0 else "0"
    hundredths = abs(used) * 10_000 // limit
    return format_nano((-hundredths if used < 0 else hundredths) * (NANO // 100))


def cost(amount: int, price: int) -> str:
    """The exact product of two amounts that are not negative, with up to 18 decimals."""
    whole, fraction = divmod(amount * price, NANO * NANO)
    return f"{whole}.{fraction:018d}".rstrip("0").rstrip(".")


def unit_months(unit_hours: int, start: datetime, end: datetime) -> int:
    """What a gauge's unit x hours within a month come to as unit x months: GB-hours as GB-months.

    ``start`` and ``end`` are those of the whole month, so that what is held all month is once the unit whether the
    month has 672 hours or 744, or one less for a clock put forward. Rounded half to even at the ninth decimal.
    """
    month = (end.astimezone(UTC) - start.astimezone(UTC)) // _MILLISECOND
    months, rest = divmod(unit_hours * _HOUR, month)
    return months + (rest * 2 > month or (rest * 2 == month and months % 2))
