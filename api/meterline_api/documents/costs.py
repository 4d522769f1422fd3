"""What usage comes to under the flat price of a quota, and what it will come to by the end of a period. Pure.

A line is rounded once, half to even, to the smallest unit of its currency; nothing before it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple

from meterline_schemas.catalog import Aggregation, Quota
from meterline_schemas.counter import average
from meterline_schemas.periods import Calendar, Period
from meterline_schemas.quantity import NANO, exact_nano, format_nano
from meterline_schemas.rating import cost
from meterline_schemas.rating import unit_months as of_month

_WITHOUT_MINOR: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
_OF_THOUSANDTHS: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_CONTEXT: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_LEAST_ELAPSED: Final = timedelta(hours=1)
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
    """How many decimals a currency has (ISO 4217)."""
    return 0 if currency in _WITHOUT_MINOR else 3 if currency in _OF_THOUSANDTHS else 2


def rounded(amount: Decimal, currency: str) -> Decimal:
    return _CONTEXT.quantize(amount, Decimal(1).scaleb(-minor_digits(currency)))


def total(amounts: Iterable[Decimal]) -> Decimal:
    found = Decimal(0)
    for amount in amounts:
        found = _CONTEXT.add(found, amount)
    return found


def projected(aggregation: Aggregation, quantity: Decimal, start: datetime, end: datetime, now: datetime) -> Decimal:
    """What a quantity of ``[start, now)`` will be at ``end``, where it goes on as it did; never below what it is.

    What does not add up over time (an average, an extreme, a level) stays as it is. The first hour counts as whole,
    so that a period that has just begun is not its first event times a month of seconds.
    """
    if aggregation not in (Aggregation.COUNT, Aggregation.SUM, Aggregation.TIME_WEIGHTED) or now >= end:
        return quantity
    elapsed = max(now - start, min(_LEAST_ELAPSED, end - start))
    nano = _nano(quantity)
    return decimal_of(max(nano, average(nano * ((end - start) // _MICROSECOND), elapsed // _MICROSECOND)))


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
