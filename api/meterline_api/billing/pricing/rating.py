"""What a metric's usage comes to under a charge of a plan. Pure.

In this order: the quantity, less what is included, by the price, less the discount, at least the minimum, at most the
cap. Rounded once, after all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import assert_never

from meterline_api.billing.pricing.money import Rounding, decimal_of, rounded
from meterline_api.billing.pricing.prices import WHOLE, price_of
from meterline_schemas.billing.invoice import TierAmount
from meterline_schemas.catalog import Charge
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Price, TieredFlat, Volume


@dataclass(frozen=True, slots=True)
class Rated:
    """``exact`` is the amount before it is rounded; ``priced`` is by the price alone.

    ``included`` is what of ``quantity`` is not charged. ``notes`` say, for people, what changed the price's amount.
    """

    quantity: Fraction
    included: Fraction
    priced: Fraction
    exact: Fraction
    tiers: tuple[TierAmount, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def effective_rate(self) -> Fraction | None:
        """What a unit came to, of all that was used; None where nothing was."""
        return self.exact / self.quantity if self.quantity > 0 else None

    def amount(self, currency: str, rounding: Rounding = Rounding.HALF_EVEN) -> Decimal:
        """Rounded, once.

        Raises:
            UnknownCurrencyError: there is no such currency.
        """
        return rounded(self.exact, currency, rounding)


def rate(charge: Charge, quantity: Decimal | Fraction, share: Fraction = WHOLE) -> Rated:
    """What ``quantity``, of the charge's measure, comes to in ``share`` of a period.

    Included quantity, minimum and cap are for a whole period, and are taken times the share. A quantity below 0 is
    charged like none.
    """
    used = Fraction(quantity)
    included = max(min(Fraction(charge.included) * share, used), Fraction(0))
    priced = price_of(charge.price, used - included, share)
    exact = priced.amount
    notes = []
    if charge.discount_percent and exact:
        exact -= exact * Fraction(charge.discount_percent) / 100
        notes.append(f"less {charge.discount_percent.normalize():f} %")
    if charge.minimum is not None and exact < (minimum := Fraction(charge.minimum) * share):
        exact = minimum
        notes.append(f"minimum of {decimal_of(minimum, 9):f}")
    if charge.cap is not None and exact > (cap := Fraction(charge.cap) * share):
        exact = cap
        notes.append(f"no more than {decimal_of(cap, 9):f}")
    return Rated(used, included, priced.amount, exact, priced.tiers, tuple(notes))


def unit_rate(price: Price) -> tuple[Decimal | None, Decimal | None]:
    """The price of a unit and of how many units it is; None where it depends on the quantity, as with tiers."""
    match price:
        case PerUnit():
            return price.unit_price, price.per
        case Package():
            return price.price, price.size
        case Percentage():
            return decimal_of(Fraction(price.percent) / 100), None
        case Graduated() | Volume() | TieredFlat():
            return None, None
        case _:
            assert_never(price)


def unit_price(price: Price) -> Decimal | None:
    """Of one unit, to 18 decimals: 0.00001 of 0.01 per 1,000. None where units differ."""
    return decimal_of(Fraction(price.unit_price) / Fraction(price.per)) if isinstance(price, PerUnit) else None
