"""Bytes as a metric counts them. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from meterline_schemas.quantity import NANO, format_nano

_BYTE: Final = frozenset({"b", "byte", "bytes"})


class Unit(StrEnum):
    """``GB`` is 10^9 bytes and ``GiB`` 2^30."""

    BYTE = "byte"
    GB = "GB"
    GIB = "GiB"

    @property
    def bytes(self) -> int:
        return _BYTES[self]


_BYTES: Final = {Unit.BYTE: 1, Unit.GB: 10**9, Unit.GIB: 2**30}


class UnknownUnitError(ValueError):
    """A metric's unit is no amount of bytes."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"its unit is {unit!r}: storage is counted in byte, GB or GiB")


def unit_of(metric_unit: str, wanted: Unit | None) -> Unit:
    """What a metric counts bytes in. ``byte`` is always exact; ``wanted`` says what a GB is, else the metric does.

    Raises:
        UnknownUnitError: the metric counts something else.
    """
    named = metric_unit.strip().lower()
    if named in _BYTE:
        return Unit.BYTE
    if named not in ("", "gb", "gib"):
        raise UnknownUnitError(metric_unit)
    return wanted or (Unit.GIB if named == "gib" else Unit.GB)


def quantity(size: int, unit: Unit) -> str:
    """Bytes in a unit as a plain decimal. Exact in bytes and GB; in GiB rounded half to even at the ninth decimal."""
    nano, rest = divmod(size * NANO, unit.bytes)
    if rest * 2 > unit.bytes or (rest * 2 == unit.bytes and nano % 2):
        nano += 1
    return format_nano(nano)
