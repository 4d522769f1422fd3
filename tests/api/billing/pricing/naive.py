"""What usage comes to, counted unit by unit: slow, and without anything of what it is compared to.

A quantity is a whole number of small units, of which ``scale`` are a unit. Bounds and sizes must be whole numbers of
them as well.
"""

from __future__ import annotations

from fractions import Fraction

from meterline_schemas.catalog import Charge
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Price, Tier, TieredFlat, Volume


def owed(charge: Charge, count: int, scale: int, share: Fraction) -> Fraction:
    free = whole(Fraction(charge.included) * share * scale)
    amount = by_price(charge.price, max(count - free, 0), scale, share)
    amount = amount * (100 - Fraction(charge.discount_percent)) / 100
    if charge.minimum is not None:
        amount = max(amount, Fraction(charge.minimum) * share)
    if charge.cap is not None:
        amount = min(amount, Fraction(charge.cap) * share)
    return amount


def by_price(price: Price, count: int, scale: int, share: Fraction) -> Fraction:
    amount = Fraction(0)
    seen = set()
    for number in range(1, count + 1):
        match price:
            case PerUnit():
                amount += Fraction(price.unit_price) / Fraction(price.per) / scale
            case Package():
                if (number - 1) % whole(Fraction(price.size) * scale) == 0:
                    amount += Fraction(price.price)
            case Percentage():
                amount += Fraction(price.percent) / 100 / scale
            case Graduated():
                place, tier = tier_of(price.tiers, number, scale, share)
                amount += Fraction(tier.unit_price) / scale
                if place not in seen:
                    amount += Fraction(tier.flat) * share
                seen.add(place)
            case Volume():
                _, tier = tier_of(price.tiers, count, scale, share)
                amount += Fraction(tier.unit_price) / scale
                if number == 1:
                    amount += Fraction(tier.flat) * share
            case TieredFlat():
                _, tier = tier_of(price.tiers, count, scale, share)
                amount = Fraction(tier.flat) * share
    return amount


def tier_of(tiers: tuple[Tier, ...], number: int, scale: int, share: Fraction) -> tuple[int, Tier]:
    """The tier that the small unit of a number, counted from 1, lies in."""
    for place, tier in enumerate(tiers):
        if tier.up_to is None or number <= whole(Fraction(tier.up_to) * share * scale):
            return place, tier
    raise AssertionError("the last tier has no end")


def whole(value: Fraction) -> int:
    assert value.denominator == 1, "choose a finer scale"
    return value.numerator
