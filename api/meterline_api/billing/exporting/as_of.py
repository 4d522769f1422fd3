"""Up to where a pull goes: an instant, and the positions in the ledger that it came to. Pure.

Its text is ``2026-12-01T06:00:00Z~kgCqMQ``. The part behind the tilde makes a pull exact: an instant alone leaves open
what was being written at it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from meterline_api.formats.text import instant
from meterline_schemas.errors import MeterlineError

_FORM: Final = 1
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)
_PARTITIONS: Final = 2**31
_OFFSETS: Final = 2**63

Positions = tuple[tuple[int, int], ...]
"""By partition, in order, the last offset that is in it; -1: none is."""


class AsOfError(MeterlineError):
    """It says no moment of this export. ``name`` is the parameter."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"{name} {why}; write an instant such as 2026-12-01T00:00:00Z, or take Meterline-As-Of of an earlier answer"
        )


@dataclass(frozen=True)
class AsOf:
    """``ledger`` names what the positions are in. Without positions it is an instant that is to be looked up."""

    at: datetime
    ledger: str = ""
    positions: Positions | None = None

    def __str__(self) -> str:
        if self.positions is None:
            return instant(self.at)
        flat = [number for pair in self.positions for number in pair]
        packed = msgspec.msgpack.encode([_FORM, self.ledger, flat])
        return f"{instant(self.at)}~{base64.urlsafe_b64encode(packed).rstrip(b'=').decode()}"

    @property
    def offset(self) -> int:
        """Of a ledger with one partition."""
        return self.positions[0][1] if self.positions else -1


def read_as_of(text: str, ledger: str, name: str = "as_of") -> AsOf:
    """What ``str`` gave of one of this ledger, or an instant.

    Raises:
        AsOfError: it is neither.
    """
    said, tilde, token = text.partition("~")
    try:
        at = datetime.fromisoformat(said)
        if at.tzinfo is None:
            raise AsOfError(name, "needs an offset, such as Z")
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise AsOfError(name, "is no instant") from None
    if not _FIRST <= at <= _LAST:
        raise AsOfError(name, "lies outside of 1970 to 2105")
    if not tilde:
        return AsOf(at)
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        form, whose, flat = msgspec.msgpack.decode(packed, type=tuple[int, str, list[int]])
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise AsOfError(name, "was changed on its way") from None
    if form != _FORM or len(flat) % 2 or not _fits(flat[::2], 0, _PARTITIONS) or not _fits(flat[1::2], -1, _OFFSETS):
        raise AsOfError(name, "was changed on its way")
    if whose != ledger:
        raise AsOfError(name, f"is one of an export of {whose[:40]}, and this one is of {ledger}")
    return AsOf(at, ledger, tuple(zip(flat[::2], flat[1::2], strict=True)))


def _fits(numbers: Iterable[int], least: int, most: int) -> bool:
    return all(least <= number < most for number in numbers)
