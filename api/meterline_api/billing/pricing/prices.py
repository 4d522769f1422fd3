"""What a quantity comes to under a price: each model of ``meterline_schemas.catalog.price``, exact. Pure.

``share`` is the part of its period that the quantity is of: bounds and flats of tiers are for a whole period and are
taken times the share; prices of units and of packages are as they are.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple, assert_never

from meterline_api.billing.pricing.money import decimal_of
from meterline_schemas.billing.invoice import TierAmount
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Price, Tier, TieredFlat, Volume

WHOLE: Final = Fraction(1)
_NOTHING: Final = Fraction(0)


class Priced(NamedTuple):
    """``tiers`` are those that were reached, of a price that has tiers; their amounts sum to ``amount``."""

    amount: Fraction
    tiers: tuple[TierAmount, ...] = ()


def price_of(price: Price, quantity: Fraction, share: Fraction = WHOLE) -> Priced:
    """What ``quantity`` comes to. Nothing, or less, costs nothing: no tier is reached and no package begun."""
    if quantity <= 0:
        return Priced(_NOTHING)
    match price:
        case PerUnit():
            return Priced(quantity * Fraction(price.unit_price) / Fraction(price.per))
        case Package():
            return Priced(-(-quantity // Fraction(price.size)) * Fraction(price.price))
        case Percentage():
            return Priced(quantity * Fraction(price.percent) / 100)
        case Graduated():
            return _sum(_reached(price.tiers, quantity, share), share)
        case Volume() | TieredFlat():
            *_, (last, _) = _reached(price.tiers, quantity, share)
            return _sum([(last, quantity)], share)
        case _:
            assert_never(price)


def _reached(tiers: tuple[Tier, ...], quantity: Fraction, share: Fraction) -> list[tuple[Tier, Fraction]]:
    """The tiers that ``quantity``, above 0, lies in, and how much of it each holds."""
    found = []
    below = _NOTHING
    for tier in tiers:
        bound = quantity if tier.up_to is None else min(Fraction(tier.up_to) * share, quantity)
        found.append((tier, bound - below))
        if bound == quantity:
            break
        below = bound
    return found


def _sum(filled: list[tuple[Tier, Fraction]], share: Fraction) -> Priced:
    amount = _NOTHING
    tiers = []
    for tier, within in filled:
        flat = Fraction(tier.flat) * share
        one = within * Fraction(tier.unit_price) + flat
        amount += one
        up_to = None if tier.up_to is None else decimal_of(Fraction(tier.up_to) * share)
        tiers.append(TierAmount(decimal_of(within), tier.unit_price, decimal_of(flat), decimal_of(one), up_to))
    return Priced(amount, tuple(tiers))
