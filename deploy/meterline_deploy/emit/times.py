"""Times as files write them, as instants. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

Epoch = Literal["s", "ms", "us", "ns"]

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: Final = {"s": Decimal(10**6), "ms": Decimal(1000), "us": Decimal(1), "ns": Decimal("0.001")}
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,9})?", re.ASCII)
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?) ?(UTC|[Zz]|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?", re.ASCII
)


class TimeError(ValueError):
    """The text names no instant; says what is missing."""


def read_time(text: str, zone: ZoneInfo | None, epoch: Epoch | None) -> datetime:
    """The instant that a text names, with its time zone.

    ISO 8601 with T or a space: a time without an offset is one of ``zone``, a date alone is its midnight. With
    ``epoch`` a number of such units since 1970.

    Raises:
        TimeError: it names none, or one only with a time zone.
    """
    text = text.strip()
    if not text:
        raise TimeError("timestamp is empty")
    if epoch is not None:
        return _since_epoch(text, epoch)
    found = _ISO.fullmatch(text)
    if found is None:
        hint = "; --epoch s, ms, us or ns reads numbers" if _NUMBER.fullmatch(text) else ""
        raise TimeError(f"timestamp {text[:40]!r} is no time like 2026-11-01T10:00:00Z{hint}")
    day, clock, offset = found.groups()
    if offset in ("UTC", "z"):
        offset = "Z"
    try:
        read = datetime.fromisoformat(f"{day}T{clock or '00:00'}{offset or ''}".replace(",", "."))
    except ValueError as error:
        raise TimeError(f"timestamp {text[:40]!r}: {error}") from None
    return read if read.tzinfo is not None else _in_zone(read, text, zone)


def _in_zone(read: datetime, text: str, zone: ZoneInfo | None) -> datetime:
    """A local time; of two that clocks show when they are put back, the first."""
    if zone is None:
        raise TimeError(f"timestamp {text[:40]!r} has no time zone: pass --timezone, such as UTC or Europe/Vienna")
    try:
        instant = read.replace(tzinfo=zone).astimezone(UTC)
        back = instant.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise TimeError(f"timestamp {text[:40]!r} lies outside the years 1 to 9999 in UTC") from None
    if back != read:
        raise TimeError(f"timestamp {text[:40]!r} does not exist in {zone.key}: clocks were put forward over it")
    return instant


def _since_epoch(text: str, epoch: Epoch) -> datetime:
    if not _NUMBER.fullmatch(text):
        raise TimeError(f"timestamp {text[:40]!r} is no number (--epoch {epoch})")
    try:
        return _START + timedelta(microseconds=int(Decimal(text) * _MICROSECONDS[epoch] // 1))
    except OverflowError:
        raise TimeError(f"timestamp {text[:40]!r} lies outside the years 1 to 9999 (--epoch {epoch})") from None
