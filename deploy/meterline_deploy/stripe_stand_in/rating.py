"""What a quantity costs by a price, in minor units. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Price = Mapping[str, Any]


def cost(price: Price, quantity: int) -> Decimal:
    """Exact, not rounded. A quantity below 0 costs nothing."""
    quantity = max(quantity, 0)
    match price["tiers_mode"]:
        case "graduated":
            return _graduated(price["_tiers"], quantity)
        case "volume":
            tier = next(each for each in price["_tiers"] if each["up_to"] is None or quantity <= each["up_to"])
            return _of(tier, "flat_amount") + quantity * _of(tier, "unit_amount")
    transform = price["transform_quantity"]
    if transform:
        packages, rest = divmod(quantity, transform["divide_by"])
        quantity = packages + (1 if rest and transform["round"] == "up" else 0)
    return quantity * Decimal(price["unit_amount_decimal"])


def rounded(amount: Decimal) -> int:
    """To whole minor units, halves away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _graduated(tiers: list[Price], quantity: int) -> Decimal:
    total, before = Decimal(0), 0
    for tier in tiers:
        inside = (quantity if tier["up_to"] is None else min(quantity, tier["up_to"])) - before
        if inside <= 0 and before:
            break
        total += _of(tier, "flat_amount") + max(inside, 0) * _of(tier, "unit_amount")
        before = tier["up_to"] or quantity
    return total


def _of(tier: Price, name: str) -> Decimal:
    return Decimal(tier[f"{name}_decimal"] or 0)
