"""Bars of a chart as places in a picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

WIDTH: Final = 210
TOP: Final = 18
HEIGHT: Final = 84
_GAP: Final = 6
_LEAST: Final = Decimal("1.5")  # of a bar that is there at all
_PLACE: Final = Decimal("0.01")


@dataclass(frozen=True)
class Bar:
    """In the units of the picture: ``x`` and ``y`` of its upper left corner, its width and height, its middle."""

    x: str
    y: str
    width: str
    height: str
    middle: str


@dataclass(frozen=True)
class Bars:
    """``zero`` is how far down the line is that bars stand on; those of negative values hang from it."""

    bars: tuple[Bar, ...]
    zero: str


def bars_of(values: Sequence[Decimal]) -> Bars:
    """Bars as high as their values, side by side; at least one value. The greatest range fills ``HEIGHT``."""
    high, low = max(*values, Decimal(0)), min(*values, Decimal(0))
    scale = HEIGHT / (high - low) if high > low else Decimal(0)
    zero = TOP + high * scale if scale else Decimal(TOP + HEIGHT)
    slot = Decimal(WIDTH) / len(values)
    bars = []
    for place, value in enumerate(values):
        height = max(abs(value) * scale, _LEAST) if value else Decimal(0)
        left = place * slot
        top = zero - height if value > 0 else zero
        sizes = (left + Decimal(_GAP) / 2, top, slot - _GAP, height, left + slot / 2)
        bars.append(Bar(*map(_written, sizes)))
    return Bars(tuple(bars), _written(zero))


def _written(number: Decimal) -> str:
    return format(number.quantize(_PLACE, ROUND_HALF_EVEN), "f")
