"""Quantities: exact decimals with at most 9 decimals, counted as integers of nano-units.

Inside the stream a quantity is an ``int`` of 10^-9 units, so that a sum is exact whatever its size;
on every topic and in every answer it is a plain decimal string (no exponent, no trailing zeros).
A quantity never passes through a binary float.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

DECIMALS: Final = 9
NANO: Final = 10**DECIMALS
LIMIT: Final = 10**18  # |quantity| stays below this many whole units: Decimal(38, 9) with room for sums
MAX_TEXT: Final = 64  # characters of a quantity as it is written; longer is out of range

# the common form, already canonical but for "-0": no exponent, no needless zero, at most 18 and 9 digits
_PLAIN = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.([0-9]{0,8}[1-9]))?", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


class QuantityError(ValueError):
    """The text is no decimal number."""


class QuantityRangeError(QuantityError):
    """A number, but |quantity| >= 10^18 or finer than 10^-9: refused, never rounded."""


def read(text: str) -> tuple[int, str]:
    """Nano-units and canonical text of a decimal; raises what ``parse_nano`` raises."""
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        nano = parse_nano(text)
        return nano, format_nano(nano)
    whole, fraction = plain.groups()
    nano = int(whole + (fraction or "").ljust(DECIMALS, "0"))
    return nano, text if nano else "0"


def parse_nano(text: str) -> int:
    """Nano-units of a decimal in JSON's number grammar; the exponent may have three digits.

    Raises:
        QuantityError: not a number in that grammar (NaN, Infinity, "1,5", "+1", "").
        QuantityRangeError: a number that 9 decimals and 18 whole digits do not hold exactly.
    """
    if len(text) > MAX_TEXT:
        raise QuantityRangeError(f"quantity is longer than {MAX_TEXT} characters; write it with fewer digits")
    if not _NUMBER.fullmatch(text):
        raise QuantityError('quantity is not a decimal number; write it like 1.5 or "1.5"')
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - the grammar has no NaN and no Infinity
    unscaled = int("".join(map(str, digits)))
    shift = exponent + DECIMALS
    if unscaled == 0:
        return 0
    if shift > 28:
        raise QuantityRangeError("quantity must be below 10^18")
    if shift >= 0:
        nano = unscaled * int(10**shift)
    else:
        nano, rest = divmod(unscaled, int(10**-shift))
        if rest:
            raise QuantityRangeError("quantity has more than 9 decimals; round it before sending")
    if nano >= LIMIT * NANO:
        raise QuantityRangeError("quantity must be below 10^18")
    return -nano if sign else nano


def format_nano(nano: int) -> str:
    """The shortest plain decimal of nano-units: ``1500000000`` is ``"1.5"``."""
    whole, fraction = divmod(abs(nano), NANO)
    sign = "-" if nano < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def exact_nano(text: str) -> int:
    """Nano-units of what ``format_nano`` wrote, however large: sums are not bound by ``LIMIT``."""
    whole, _, fraction = text.partition(".")
    nano = abs(int(whole)) * NANO + int(fraction.ljust(DECIMALS, "0") or "0")
    return -nano if text.startswith("-") else nano
