"""What a period will come to by its end, from what there is of it now. Pure.

Usage goes on as it did in the period so far; once eight weeks of days are known, as the weekdays of these weeks did
on the mean. What does not add up over time (an average, an extreme, a level) stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from meterline_api.billing.pricing.bill import Bill, Part, bill, total_of
from meterline_api.billing.pricing.money import Rounding, decimal_of
from meterline_schemas.billing.invoice import Line
from meterline_schemas.catalog import Aggregation
from meterline_schemas.periods import Calendar, Period
from meterline_schemas.quantity import DECIMALS

HISTORY: Final = timedelta(days=56)
_ADD_UP: Final = (Aggregation.COUNT, Aggregation.SUM, Aggregation.TIME_WEIGHTED)
_LEAST_ELAPSED: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)


class Pace(Protocol):
    """How usage goes on."""

    def between(self, start: datetime, end: datetime) -> Fraction:
        """What is to be expected in ``[start, end)``, which lies ahead; not above 0 where it ends before it starts."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``quantity`` for every time like the one from ``start`` to ``until``."""

    quantity: Fraction
    start: datetime
    until: datetime

    def between(self, start: datetime, end: datetime) -> Fraction:
        begin = max(start, self.until)
        return self.quantity * max(_length(begin, end), 0) / _length(self.start, self.until)


@dataclass(frozen=True, slots=True)
class Weekdays:
    """``means`` of a day, from Monday on, in a time zone."""

    means: tuple[Fraction, ...]
    zone: str = "UTC"

    def between(self, start: datetime, end: datetime) -> Fraction:
        days = Calendar(Period.DAILY, self.zone)
        found = Fraction(0)
        at = start.astimezone(UTC)
        while at < end:
            first, following = days.bounds(at)
            until = min(following, end)
            weekday = first.astimezone(ZoneInfo(self.zone)).weekday()
            found += self.means[weekday] * Fraction(_length(at, until), _length(first, following))
            at = until
        return found


@dataclass(frozen=True, slots=True)
class Still:
    """Nothing adds up."""

    def between(self, start: datetime, end: datetime) -> Fraction:
        return Fraction(0)


def pace(
    aggregation: Aggregation,
    quantity: Decimal,
    start: datetime,
    end: datetime,
    now: datetime,
    history: Mapping[date, Decimal] | None = None,
    zone: str = "UTC",
) -> Pace:
    """How a metric goes on after ``now``, of which ``quantity`` was used since ``start`` of the period to ``end``.

    ``history`` has what was used on the whole days before that of ``now``, in days of ``zone``: it counts once it goes
    eight weeks back, and a day that is not in it had no usage. Before, the first hour of a period counts as whole, so
    that one that has just begun is not its first event times a month of seconds.
    """
    if aggregation not in _ADD_UP:
        return Still()
    today = now.astimezone(ZoneInfo(zone)).date()
    known = history or {}
    if any(day <= today - HISTORY for day in known):
        sums = [Fraction(0)] * 7
        for back in range(1, HISTORY.days + 1):
            day = today - timedelta(days=back)
            sums[day.weekday()] += Fraction(known.get(day, 0))
        return Weekdays(tuple(each / (HISTORY.days // 7) for each in sums), zone)
    return Linear(Fraction(quantity), start, max(now, start + min(_LEAST_ELAPSED, end - start)))


def projected_quantity(quantity: Decimal, going_on: Pace, start: datetime, end: datetime, now: datetime) -> Decimal:
    """What ``quantity``, of ``[start, end)`` so far, will be at the end; never below what it is.

    ``[start, end)`` is the period, or a segment of it, that may also be over or still ahead.
    """
    ahead = going_on.between(max(start, now), end)
    return decimal_of(Fraction(quantity) + ahead, DECIMALS) if ahead > 0 else quantity


def projected_bill(now: Sequence[Part], then: Sequence[Part], rounding: Rounding = Rounding.HALF_EVEN) -> Bill:
    """The bill at the end of the period: of ``then``, the same segments with projected quantities.

    The base fee is that of the period, not multiplied. Where more usage costs less, a line stays at what it is ``now``.

    Raises:
        PricingError, UnknownCurrencyError: as ``bill`` does.
    """
    current, found = bill(now, rounding), bill(then, rounding)
    if found.currency is None:
        return found
    least = {_key(line): (line.amount, exact) for line, exact in zip(current.lines, current.exact, strict=True)}
    lines, exact = [], []
    for line, amount in zip(found.lines, found.exact, strict=True):
        rounded_least, exact_least = least.get(_key(line), (line.amount, amount))
        lines.append(replace(line, amount=max(line.amount, rounded_least)))
        exact.append(max(amount, exact_least))
    return Bill(found.currency, tuple(lines), total_of(lines, found.currency), found.unpriced, tuple(exact))


def _key(line: Line) -> tuple[str, str, datetime]:
    return line.kind, line.metric, line.start


def _length(start: datetime, end: datetime) -> int:
    """In microseconds."""
    return (end.astimezone(UTC) - start.astimezone(UTC)) // _MICROSECOND
