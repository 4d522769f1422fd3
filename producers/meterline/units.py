"""Durations as quantities: whole nanoseconds in, exact decimals of a unit out, without a float in between."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal, get_args

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.quantity import NANO, format_nano

Unit = Literal["milliseconds", "seconds", "minutes", "hours"]

NANOSECONDS: Final[Mapping[str, int]] = {
    "milliseconds": 10**6,
    "seconds": 10**9,
    "minutes": 60 * 10**9,
    "hours": 3600 * 10**9,
}


def check_unit(unit: str) -> None:
    """
    Raises:
        ConfigurationError: no unit of time that is counted in.
    """
    if unit not in NANOSECONDS:
        raise ConfigurationError(f"unit={unit!r}: write one of {', '.join(get_args(Unit))}")


def in_unit(nanoseconds: int, unit: Unit) -> Decimal:
    """Seconds and milliseconds exactly; minutes and hours to 9 decimals, half up."""
    per_unit = NANOSECONDS[unit]
    return Decimal(format_nano((2 * nanoseconds * NANO + per_unit) // (2 * per_unit)))
