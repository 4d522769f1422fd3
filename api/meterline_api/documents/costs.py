"""What usage comes to under the flat price of a quota, and what it will come to by the end of a period. Pure.

A line is rounded once, half to even, to the smallest unit of its currency; nothing before it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final, NamedTuple

from meterline_api.billing.pricing.money import to_digits, total
from meterline_api.billing.pricing.projection import pace, projected_quantity
from meterline_schemas.catalog import Aggregation, Quota
from meterline_schemas.counter import average
from meterline_schemas.currencies import MINOR_DIGITS
from meterline_schemas.periods import Calendar, Period
from meterline_schemas.quantity import NANO, exact_nano, format_nano
from meterline_schemas.rating import cost
from meterline_schemas.rating import unit_months as of_month

__all__ = [
    "Cost", "change", "cost_of", "decimal_of", "exact_cost", "mean_level", "minor_digits", "projected", "rounded",
    "total", "unit_months",
]  # fmt: skip

_CONTEXT: Final = Context(prec=200)
_MILLISECOND: Final = timedelta(milliseconds=1)
_HOUR: Final = timedelta(hours=1)


class Cost(NamedTuple):
    """A line. ``included`` is None without a quota, ``rate``, ``amount`` and ``currency`` are without a price."""

    quantity: Decimal
    included: Decimal | None
    overage: Decimal
    rate: Decimal | None
    amount: Decimal | None
    currency: str | None


def cost_of(quota: Quota | None, quantity: Decimal) -> Cost:
    """What ``quantity`` comes to in a period of the quota."""
    if quota is None:
        return Cost(quantity, None, Decimal(0), None, None, None)
    over = max(_nano(quantity) - _nano(quota.included), 0)
    amount = None
    if quota.price_per_unit is not None and quota.currency is not None:
        amount = rounded(Decimal(cost(over, _nano(quota.price_per_unit))), quota.currency)
    return Cost(quantity, quota.included, decimal_of(over), quota.price_per_unit, amount, quota.currency)


def exact_cost(rate: Decimal, quantity: Decimal) -> Decimal:
    """Of a single event: not rounded, so that many small ones are not nothing."""
    return _CONTEXT.multiply(rate, quantity)


def minor_digits(currency: str) -> int:
    """How many decimals a currency has (ISO 4217). A quota may name one that is none: it is counted in hundredths."""
    return MINOR_DIGITS.get(currency, 2)


def rounded(amount: Decimal, currency: str) -> Decimal:
    return to_digits(amount, minor_digits(currency))


def projected(aggregation: Aggregation, quantity: Decimal, start: datetime, end: datetime, now: datetime) -> Decimal:
    """What a quantity of ``[start, now)`` will be at ``end``, where it goes on as it did; never below what it is.

    What does not add up over time (an average, an extreme, a level) stays as it is. The first hour counts as whole,
    so that a period that has just begun is not its first event times a month of seconds.
    """
    return projected_quantity(quantity, pace(aggregation, quantity, start, end, now), start, end, now)


def mean_level(unit_hours: Decimal, start: datetime, until: datetime) -> Decimal:
    """What a gauge was at from ``start`` to ``until``, on the mean: to the millisecond, as its usage is."""
    held = (until - start) // _MILLISECOND
    return decimal_of(average(_nano(unit_hours) * (_HOUR // _MILLISECOND), held)) if held > 0 else Decimal(0)


def unit_months(unit_hours: Iterable[tuple[datetime, Decimal]]) -> Decimal:
    """Unit x months from the unit x hours of UTC months, each by its start: a month has the hours that it has."""
    months = Calendar(Period.MONTHLY)
    return decimal_of(sum(of_month(_nano(value), *months.bounds(start)) for start, value in unit_hours))


def change(now: Decimal, before: Decimal) -> Decimal | None:
    """From ``before`` to ``now`` in percent, to two decimals; None where there was nothing before."""
    if not before:
        return None
    hundredths = average((_nano(now) - _nano(before)) * 10_000, abs(_nano(before)))
    return decimal_of(hundredths * (NANO // 100))


def decimal_of(nano: int) -> Decimal:
    return Decimal(format_nano(nano))


def _nano(amount: Decimal) -> int:
    return exact_nano(format(amount, "f"))
