"""Prices: what a quantity costs, as one of a closed set of models. What each comes to: ``meterline_api.billing``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meterline_schemas.catalog.entry import Amount

_MOST_TIERS: Final = 50

Money = Annotated[Amount, Field(ge=0)]
"""In units of the plan's currency (not cents); finer than its smallest unit where that is meant."""
Size = Annotated[Amount, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PerUnit(_Model):
    """``unit_price`` for every ``per`` units, in proportion: 0.01 per 1,000 calls is 0.005 for 500."""

    model: Literal["per_unit"] = "per_unit"
    unit_price: Money
    per: Size = Decimal(1)


class Package(_Model):
    """``price`` for every ``size`` units that was begun."""

    model: Literal["package"] = "package"
    price: Money
    size: Size


class Tier(_Model):
    """Up to and including ``up_to`` units; the last tier has none. ``flat`` is charged once where it is reached."""

    up_to: Size | None = None
    unit_price: Money = Decimal(0)
    flat: Money = Decimal(0)


class _Tiered(_Model):
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=_MOST_TIERS)]

    @model_validator(mode="after")
    def _rise(self) -> Self:
        bounds = [tier.up_to for tier in self.tiers]
        if bounds[-1] is not None:
            raise ValueError("the last tier must have no `up_to`: usage beyond it would have no price")
        rising = [bound for bound in bounds[:-1] if bound is not None]
        if len(rising) != len(bounds) - 1 or sorted(set(rising)) != rising:
            raise ValueError("`up_to` must rise from tier to tier, and only the last has none")
        return self


class Graduated(_Tiered):
    """Each unit at the price of the tier that it lies in; the ``flat`` of every tier that is reached."""

    model: Literal["graduated"] = "graduated"


class Volume(_Tiered):
    """All units at the price of the tier that the last of them lies in, and the ``flat`` of that tier."""

    model: Literal["volume"] = "volume"


class TieredFlat(_Tiered):
    """The ``flat`` of the tier that the last unit lies in, whatever the quantity within it."""

    model: Literal["tiered_flat"] = "tiered_flat"

    @model_validator(mode="after")
    def _has_no_unit_prices(self) -> Self:
        if any(tier.unit_price for tier in self.tiers):
            raise ValueError("tiered_flat has `flat` alone; with `unit_price` it is graduated or volume")
        return self


class Percentage(_Model):
    """``percent`` of the quantity, which is money of the plan's currency."""

    model: Literal["percentage"] = "percentage"
    percent: Annotated[Amount, Field(ge=0, le=100)]


Price = Annotated[
    PerUnit | Package | Graduated | Volume | TieredFlat | Percentage,
    Field(discriminator="model"),
]
