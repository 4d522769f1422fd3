"""Money: amounts rounded to the smallest unit of their currency, added up and written. Pure.

Until it is rounded an amount is exact, a ``Fraction``; rounded, it is a ``Decimal`` with as many decimals as its
currency has. Nothing here depends on the decimal context of a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from meterline_schemas.currencies import minor_digits

__all__ = ["Rounding", "decimal_of", "formatted", "minor_digits", "rounded", "to_digits", "total"]

DECIMALS: Final = 18
"""Of an exact amount as it is shown: a quantity x a price has no more."""

_CONTEXT: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)


class Rounding(StrEnum):
    """Where exactly half of the smallest unit goes. Closed. ``half_up``: away from zero, below it too."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"


def rounded(amount: Decimal | Fraction, currency: str, rounding: Rounding = Rounding.HALF_EVEN) -> Decimal:
    """To the smallest unit of the currency: 0.005 EUR is 0.00 half to even, and 0.01 half up.

    Raises:
        UnknownCurrencyError: there is no such currency.
    """
    return to_digits(amount, minor_digits(currency), rounding)


def to_digits(amount: Decimal | Fraction, digits: int, rounding: Rounding = Rounding.HALF_EVEN) -> Decimal:
    """With exactly so many decimals. Zero has no sign."""
    scaled = Fraction(amount) * 10**digits
    match rounding:
        case Rounding.HALF_EVEN:
            units = round(scaled)
        case Rounding.HALF_UP:
            units = (2 * abs(scaled.numerator) + scaled.denominator) // (2 * scaled.denominator)
            units = -units if scaled < 0 else units
    return Decimal(f"{units}E-{digits}")


def decimal_of(amount: Fraction, most: int = DECIMALS) -> Decimal:
    """As a plain decimal without needless zeros: exact where ``most`` decimals hold it, else half to even."""
    if amount.denominator == 1:
        return Decimal(amount.numerator)
    text = format(to_digits(amount, most), "f")
    return Decimal(text.rstrip("0").rstrip("."))


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Exact, whatever their size; 0 of none."""
    found = Decimal(0)
    for amount in amounts:
        found = _CONTEXT.add(found, amount)
    return found


def formatted(amount: Decimal, currency: str) -> str:
    """A rounded amount for people: ``1,234.50 USD``, ``1,235 JPY``, ``-1.250 KWD``.

    Raises:
        UnknownCurrencyError: there is no such currency.
    """
    return f"{format(rounded(amount, currency), ',f')} {currency}"
