"""The last days, and what was used on each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

DAYS: Final = 7


@dataclass(frozen=True)
class Day:
    """``[start, end)``; ``counts`` has each of ``METRICS``, of a gauge its mean level."""

    start: datetime
    end: datetime
    counts: Mapping[str, Decimal]


@dataclass(frozen=True)
class Week:
    """Days of ``zone``, the earliest first. The last one is today, which is not over."""

    zone: str
    days: tuple[Day, ...]
