"""Totals of UTC days, and what each is as a value of a meter: a whole number of its smallest parts. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from meterline_api.billing.stripe.errors import MOST_DIGITS, NotWholeError, TooManyDigitsError
from meterline_schemas.catalog.plan import Measure
from meterline_schemas.catalog.stripe_meter import IncludedMode, StripeMeter
from meterline_schemas.quantity import NANO

HOUR_MS: Final = 3_600_000
_MOST: Final = 10**MOST_DIGITS


class DayTotal(NamedTuple):
    """What a tenant used of a metric on a UTC day: exactly ``amount`` / ``per`` units, or unit x hours of a gauge.

    ``per`` is NANO of what is counted, and NANO x ``HOUR_MS`` of a gauge.
    """

    tenant_id: str
    metric: str
    day: date
    amount: int
    per: int = NANO


Included = Callable[[str, str, date], Decimal]
"""What a tenant's plan includes of a metric in the month of a day, in units that are charged."""


def value_of(total: DayTotal, meter: StripeMeter) -> int:
    """What Stripe is told. The day of a gauge is rounded once, half to even: hours have no last decimal.

    Raises:
        NotWholeError: of what is counted, with more decimals than ``scale``.
        TooManyDigitsError
    """
    per, shift = _per(total, meter), int(10**meter.scale)
    parts, rest = divmod(total.amount * shift, per)
    if rest:
        if total.per == NANO:
            raise NotWholeError(total.metric, meter.scale)
        parts += rest * 2 > per or (rest * 2 == per and parts % 2)
    if abs(parts) >= _MOST:
        raise TooManyDigitsError(total.metric, parts)
    return parts


def beyond_included(
    totals: Iterable[DayTotal], meters: Mapping[str, StripeMeter], included: Included
) -> Iterator[DayTotal]:
    """Totals by tenant, metric and day; those of ``overage_only`` meters become what each day has of the overage.

    They telescope: the days of a month sum to what lies beyond its included quantity, whatever day it is passed on.
    Such a metric's totals must have every day of the month, from its first on.
    """
    month: tuple[str, str, int, int] | None = None
    used = before = free = 0
    for total in totals:
        meter = meters.get(total.metric)
        if meter is None or meter.included is not IncludedMode.OVERAGE_ONLY:
            yield total
            continue
        this = (total.tenant_id, total.metric, total.day.year, total.day.month)
        if this != month:
            month, used, before = this, 0, 0
            quantity = included(total.tenant_id, total.metric, total.day)
            free = int(quantity * NANO) * (_per(total, meter) // NANO)
        used += total.amount
        over = max(used - free, 0)
        yield total._replace(amount=over - before)
        before = over


def _per(total: DayTotal, meter: StripeMeter) -> int:
    if meter.measure is Measure.UNIT_MONTHS:
        return total.per * monthrange(total.day.year, total.day.month)[1] * 24
    return total.per
