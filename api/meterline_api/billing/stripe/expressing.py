"""Charges as prices of Stripe: the parameters of a price that comes to the same, or why there is none. Pure.

Amounts at Stripe are in minor units (cents) with at most 12 decimals, for one of the meter's smallest parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, Inexact
from typing import Any, Final, NoReturn

import msgspec

from meterline_api.billing.stripe.errors import InexpressibleError
from meterline_schemas.catalog.plan import Charge, Plan, PlanVersion
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Tier, TieredFlat, Volume
from meterline_schemas.catalog.stripe_meter import IncludedMode, StripeMeter
from meterline_schemas.periods import Period

DECIMALS: Final = 12
_EXACT: Final = Context(prec=60, traps=[Inexact])
_FREE: Final = Decimal(0)
_encode: Final = msgspec.json.Encoder(order="deterministic").encode  # a decimal is text

# Stripe's own list, not that of ISO 4217: https://docs.stripe.com/currencies#special-cases
_NO_MINOR_UNIT: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THOUSANDTHS: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def minor_digits(currency: str) -> int:
    return 0 if currency in _NO_MINOR_UNIT else 3 if currency in _THOUSANDTHS else 2


def price_of(plan: Plan, charge: Charge, meter: StripeMeter) -> dict[str, Any]:
    """How a price at Stripe says what a metric costs on a plan: everything but product, meter and keys.

    Raises:
        InexpressibleError
    """
    return _Charged(plan, charge, meter).price()


def base_fee_of(plan: Plan, version: PlanVersion) -> int:
    """In minor units.

    Raises:
        InexpressibleError
    """
    amount = version.base_fee * 10 ** minor_digits(plan.currency)
    if amount != amount.to_integral_value():
        raise InexpressibleError(plan.id, "base fee", f"{version.base_fee} is no whole number of minor units")
    return int(amount)


def lookup_key(plan: str, metric: str, parameters: Mapping[str, Any]) -> str:
    """The same for the same terms: a price never changes at Stripe, so other terms are another price."""
    body = _encode(dict(parameters))
    named = hashlib.sha256(f"{len(metric)}:{metric}".encode() + body).hexdigest()
    return f"meterline:{plan}:{named[:32]}"


class _Charged:
    def __init__(self, plan: Plan, charge: Charge, meter: StripeMeter) -> None:
        self._plan = plan
        self._charge = charge
        self._meter = meter
        self._minor = 10 ** minor_digits(plan.currency)
        self._parts = 10**meter.scale  # of a unit
        self._share = Decimal(100) - charge.discount_percent

    def price(self) -> dict[str, Any]:
        charge = self._charge
        if self._plan.period is not Period.MONTHLY:
            self._refuse(f"the plan is invoiced {self._plan.period}, and a meter's days are of calendar months")
        if charge.measure is not self._meter.measure:
            self._refuse(f"it charges {charge.measure}, and the meter counts {self._meter.measure}")
        for name in ("minimum", "cap"):
            if getattr(charge, name) is not None:
                self._refuse(f"it has a {name}")
        in_price = self._meter.included is IncludedMode.INCLUDED_IN_PRICE
        included = charge.included if in_price else _FREE
        match charge.price:
            case PerUnit(unit_price=price, per=per):
                return self._per_unit(price, per, included)
            case Percentage(percent=percent):
                return self._per_unit(percent, Decimal(100), included)
            case Package(price=price, size=size):
                if included:
                    self._refuse("packages after an included quantity; the meter may get the overage alone")
                amount = self._amount(price)
                divide = {"divide_by": self._bound(size), "round": "up"}
                return self._with({"billing_scheme": "per_unit", **amount, "transform_quantity": divide})
            case Graduated(tiers=tiers):
                return self._tiered("graduated", tiers, included)
            case Volume(tiers=tiers):
                if included:
                    self._refuse("a volume price after an included quantity; the meter may get the overage alone")
                return self._tiered("volume", tiers, included)
            case TieredFlat(tiers=tiers):
                return self._tiered("volume", tiers, included)

    def _per_unit(self, price: Decimal, per: Decimal, included: Decimal) -> dict[str, Any]:
        if included:
            return self._tiered("graduated", (Tier(unit_price=price),), included, per)
        return self._with({"billing_scheme": "per_unit", **self._amount(price, per * self._parts)})

    def _tiered(self, mode: str, tiers: Sequence[Tier], included: Decimal, per: Decimal = Decimal(1)) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        if included:
            found.append({"up_to": self._bound(included), "unit_amount_decimal": _FREE})
        elif tiers[0].flat:
            self._refuse("its first tier has a flat amount, which Stripe charges without any usage too")
        for tier in tiers:
            one: dict[str, Any] = {"up_to": "inf" if tier.up_to is None else self._bound(included + tier.up_to)}
            one |= self._amount(tier.unit_price, per * self._parts)
            if tier.flat:
                one |= self._amount(tier.flat, name="flat_amount_decimal")
            found.append(one)
        return self._with({"billing_scheme": "tiered", "tiers_mode": mode, "tiers": found})

    def _with(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"currency": self._plan.currency.lower(), **parameters}

    def _amount(
        self, amount: Decimal, of: Decimal = Decimal(1), name: str = "unit_amount_decimal"
    ) -> dict[str, Decimal]:
        """Of one of ``of`` equal parts, after the discount."""
        try:
            with_discount = _EXACT.divide(_EXACT.multiply(amount * self._minor, self._share), Decimal(100) * of)
            exact = _EXACT.quantize(with_discount, Decimal(1).scaleb(-DECIMALS))
        except Inexact:
            self._refuse(f"a price of {amount} has more than {DECIMALS} decimals in Stripe's minor units")
        return {name: Decimal(format(exact.normalize(_EXACT), "f"))}

    def _bound(self, quantity: Decimal) -> int:
        parts = quantity * self._parts
        if parts != parts.to_integral_value() or parts < 1:
            self._refuse(f"a tier ends at {quantity}, which the meter's `scale` of {self._meter.scale} cannot say")
        return int(parts)

    def _refuse(self, why: str) -> NoReturn:
        raise InexpressibleError(self._plan.id, self._charge.metric, why)
