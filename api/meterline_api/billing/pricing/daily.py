"""What each day of a period costs, so that days sum to what the period does, whatever the price. Pure.

A day costs what the usage up to its end comes to, less what the usage up to its start did: with tiers, a minimum or a
cap it depends on the days before, and it is below 0 where more usage costs less. The first day has the minimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from meterline_api.billing.pricing.money import Rounding, minor_digits, rounded, total
from meterline_api.billing.pricing.prices import WHOLE
from meterline_api.billing.pricing.rating import rate
from meterline_api.billing.pricing.segments import Segment, share_of
from meterline_schemas.catalog import Charge


def daily_costs(charge: Charge, cumulative: Iterable[Decimal], share: Fraction = WHOLE) -> tuple[Fraction, ...]:
    """By day, exact. ``cumulative`` is the metric's number from the segment's start to the end of each of its days.

    They sum to what the last of ``cumulative`` comes to in the whole segment, which is ``share`` of its period.
    """
    found = []
    before = Fraction(0)
    for quantity in cumulative:
        cost = rate(charge, quantity, share).exact
        found.append(cost - before)
        before = cost
    return tuple(found)


def daily_base_fees(segment: Segment, days: Sequence[tuple[datetime, datetime]]) -> tuple[Fraction, ...]:
    """The base fee by day, exact: in proportion to what of each ``[start, end)`` lies in the segment.

    Days that cover the segment sum to its part of the fee.
    """
    fee = Fraction(segment.version.base_fee) * segment.share
    found = []
    for start, end in days:
        begin, until = max(start, segment.start), min(end, segment.end)
        part = share_of(begin, until, segment.start, segment.end) if begin < until else Fraction(0)
        found.append(fee * part)
    return tuple(found)


def in_units(costs: Iterable[Fraction], currency: str, rounding: Rounding = Rounding.HALF_EVEN) -> tuple[Decimal, ...]:
    """Days in whole units of the currency that sum to the rounded amount of all: the running sum is what is rounded.

    Raises:
        UnknownCurrencyError: there is no such currency.
    """
    minor_digits(currency)
    found = []
    exact, told = Fraction(0), Decimal(0)
    for cost in costs:
        exact += cost
        upto = rounded(exact, currency, rounding)
        found.append(total((upto, told.copy_negate())))
        told = upto
    return tuple(found)
