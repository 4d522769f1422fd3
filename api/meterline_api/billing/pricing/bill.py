"""The lines and the total of an invoice, from the segments of its period and what was used in each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple

from meterline_api.billing.pricing.errors import CurrencyChangeError, NoUnitMonthsError
from meterline_api.billing.pricing.money import Rounding, decimal_of, rounded, total
from meterline_api.billing.pricing.prices import WHOLE
from meterline_api.billing.pricing.rating import rate, unit_rate
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.billing.invoice import Line, LineKind
from meterline_schemas.catalog import Charge
from meterline_schemas.catalog.plan import Measure


class Usage(NamedTuple):
    """What was used of a metric in a segment. ``unit_months`` is that of a gauge as unit x months, where it is one.

    ``unit`` is the metric's, ``events`` where the events behind it are listed; both go on the line as they are.
    """

    quantity: Decimal
    unit_months: Decimal | None = None
    unit: str = ""
    events: str = ""


Part = tuple[Segment, Mapping[str, Usage]]
_NONE: Final = Usage(Decimal(0), Decimal(0))


class Unpriced(NamedTuple):
    """Usage of a metric that the plan has no charge for."""

    metric: str
    plan: str
    start: datetime
    end: datetime
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """``total`` is the sum of the lines. ``currency`` is None, and nothing is charged, where there is no segment.

    ``exact`` are the amounts of the lines before each was rounded.
    """

    currency: str | None
    lines: tuple[Line, ...]
    total: Decimal
    unpriced: tuple[Unpriced, ...]
    exact: tuple[Fraction, ...] = ()


def bill(parts: Sequence[Part], rounding: Rounding = Rounding.HALF_EVEN) -> Bill:
    """Base fee first, then a line for each charge that was used or comes to something; each rounded once.

    Raises:
        CurrencyChangeError: the plans are in different currencies.
        UnknownCurrencyError: they are in none of ISO 4217.
        NoUnitMonthsError: a charge is of unit-months and the usage has none.
    """
    currency = only_currency(segment for segment, _ in parts)
    if currency is None:
        return Bill(None, (), Decimal(0), ())
    found = [each for segment, used in parts for each in _lines(segment, used, rounding)]
    lines = tuple(line for line, _exact in found)
    unpriced = tuple(one for segment, used in parts for one in _unpriced(segment, used))
    return Bill(currency, lines, total_of(lines, currency), unpriced, tuple(exact for _line, exact in found))


def total_of(lines: Iterable[Line], currency: str) -> Decimal:
    """What lines come to, with the decimals of the currency also where there are none.

    Raises:
        UnknownCurrencyError: there is no such currency.
    """
    return total([rounded(Decimal(0), currency), *(line.amount for line in lines)])


def only_currency(found: Iterable[Segment]) -> str | None:
    """The one currency of the segments of a period.

    Raises:
        CurrencyChangeError: there are several.
    """
    all_of_them = list(found)
    for before, after in pairwise(all_of_them):
        if before.plan.currency != after.plan.currency:
            named = [(segment.plan.id, segment.plan.currency) for segment in (before, after)]
            raise CurrencyChangeError(named[0], named[1], after.start)
    return all_of_them[0].plan.currency if all_of_them else None


def measured(charge: Charge, usage: Usage, plan: str) -> Decimal:
    """The quantity that is charged.

    Raises:
        NoUnitMonthsError: the charge is of unit-months and the usage has none.
    """
    if charge.measure is Measure.AS_METERED:
        return usage.quantity
    if usage.unit_months is None:
        raise NoUnitMonthsError(charge.metric, plan)
    return usage.unit_months


def _lines(segment: Segment, used: Mapping[str, Usage], rounding: Rounding) -> Iterator[tuple[Line, Fraction]]:
    """Each with its amount as it is before it is rounded."""
    plan, version = segment.plan, segment.version
    share = None if segment.share == WHOLE else decimal_of(segment.share)
    if version.base_fee:
        fee = Fraction(version.base_fee) * segment.share
        base = Line(
            kind=LineKind.BASE_FEE,
            amount=rounded(fee, plan.currency, rounding),
            start=segment.start,
            end=segment.end,
            plan=plan.id,
            name=plan.name or plan.id,
            description=plan.description,
            rate=version.base_fee,
            share=share,
        )
        yield base, fee
    for charge in version.charges:
        usage = used.get(charge.metric, _NONE)
        found = rate(charge, measured(charge, usage, plan.id), segment.share)
        if charge.metric not in used and not found.exact:
            continue
        price, per = unit_rate(charge.price)
        line = Line(
            kind=LineKind.USAGE,
            amount=found.amount(plan.currency, rounding),
            start=segment.start,
            end=segment.end,
            plan=plan.id,
            metric=charge.metric,
            name=charge.name or charge.metric,
            description="; ".join(filter(None, (charge.description, *found.notes))),
            unit=usage.unit,
            quantity=decimal_of(found.quantity),
            included=decimal_of(found.included),
            rate=price,
            per=per,
            tiers=found.tiers,
            share=share,
            events=usage.events,
        )
        yield line, found.exact


def _unpriced(segment: Segment, used: Mapping[str, Usage]) -> Iterator[Unpriced]:
    for metric, usage in sorted(used.items()):
        if usage.quantity and segment.version.charge(metric) is None:
            yield Unpriced(metric, segment.plan.id, segment.start, segment.end, usage.quantity)
