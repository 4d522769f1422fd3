"""What the days of a tenant's periods cost: lines by UTC day that sum to the price of their period. Pure.

An exact cost may have no end of decimals: of each line the running sum of a segment is what is rounded, half to even at
the 18th, so that days sum to the price of the segment as exactly as 18 decimals hold it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from meterline_api.billing.invoices.periods import Due, period_at
from meterline_api.billing.invoices.quantities import unit_months
from meterline_api.billing.pricing.bill import Usage, measured
from meterline_api.billing.pricing.daily import daily_base_fees, daily_costs
from meterline_api.billing.pricing.money import DECIMALS, decimal_of, to_digits, total
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.billing.cost import DayCost
from meterline_schemas.billing.invoice import LineKind
from meterline_schemas.catalog import Aggregation, Charge, Metric, Plan, Tenant, TenantPlan
from meterline_schemas.quantity import DECIMALS as OF_QUANTITY

Interval = tuple[datetime, datetime]
Running = Mapping[str, Sequence[Decimal]]
"""By metric its number from an interval's start to the end of each of the interval's days. What was not used is not
there."""

_DAY: Final = timedelta(days=1)


def midnight(instant: datetime) -> datetime:
    """The beginning of the UTC day of an instant."""
    return datetime.combine(instant.astimezone(UTC).date(), time(), tzinfo=UTC)


def utc_days(start: datetime, end: datetime) -> list[Interval]:
    """``[start, end)`` cut at UTC midnights."""
    found = []
    at = start
    while at < end:
        following = min(midnight(at) + _DAY, end)
        found.append((at, following))
        at = following
    return found


def beginning(tenant: Tenant, on: TenantPlan, plans: Mapping[str, Plan], at: datetime) -> datetime:
    """The midnight from which days are computed anew where something of ``at`` is new: its period changes whole.

    Raises:
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    due = period_at(tenant, on, plans, at)
    return midnight(at if due is None else min(due.start, at))


def intervals(due: Due, until: datetime) -> list[Interval]:
    """Of each segment of a period, up to ``until``."""
    return [(each.start, min(each.end, until)) for each in due.segments if each.start < until]


def costs_of(
    due: Due, used: Mapping[Interval, Running], metrics: Mapping[str, Metric], until: datetime
) -> dict[date, list[DayCost]]:
    """The lines of each day of a period that begins before ``until``, a UTC midnight; days that cost nothing are left
    out. ``used`` has the ``intervals`` of the period.

    Raises:
        PricingError: it cannot be priced.
    """
    found: dict[date, list[DayCost]] = defaultdict(list)
    for segment in due.segments:
        if segment.start >= until:
            continue
        interval = (segment.start, min(segment.end, until))
        days = utc_days(*interval)
        for line in _lines(due, segment, days, used[interval], metrics):
            for (start, _end), each in zip(days, line, strict=True):
                if each.cost or each.quantity:
                    found[start.date()].append(each)
    return {day: _merged(lines) for day, lines in sorted(found.items())}


def _lines(
    due: Due, segment: Segment, days: Sequence[Interval], used: Running, metrics: Mapping[str, Metric]
) -> Iterator[list[DayCost]]:
    """A line for each day: of the base fee, then of each charge."""
    plan, version = segment.plan, segment.version
    if version.base_fee:
        costs = _told(daily_base_fees(segment, days))
        yield [DayCost(LineKind.BASE_FEE, plan.id, plan.currency, due.start, due.end, cost) for cost in costs]
    for charge in version.charges:
        numbers = used.get(charge.metric, ())
        if not numbers and not charge.minimum:
            continue
        known = metrics.get(charge.metric)
        unit = known.unit if known is not None else ""
        quantities = _measured(due, segment, charge, numbers or [Decimal(0)] * len(days), metrics)
        costs = _told(daily_costs(charge, quantities, segment.share))
        steps = _steps([to_digits(Fraction(each), OF_QUANTITY) for each in quantities])
        yield [
            DayCost(
                LineKind.USAGE, plan.id, plan.currency, due.start, due.end, cost, charge.metric, unit, _plain(quantity)
            )
            for cost, quantity in zip(costs, steps, strict=True)
        ]


def _measured(
    due: Due, segment: Segment, charge: Charge, numbers: Sequence[Decimal], metrics: Mapping[str, Metric]
) -> list[Decimal]:
    """What is charged of the usage up to the end of each day."""
    zone, anchor, period = due.tenant.time_zone, due.tenant.billing_anchor, segment.plan.period
    known = metrics.get(charge.metric)
    gauge = known is not None and known.aggregation is Aggregation.TIME_WEIGHTED
    found = []
    for number in numbers:
        months = unit_months(number, segment.start, zone, anchor, period) if gauge else None
        found.append(measured(charge, Usage(number, months), segment.plan.id))
    return found


def _told(costs: Iterable[Fraction]) -> list[Decimal]:
    """Each with 18 decimals at most, so that what they sum to up to any day is what the exact ones do."""
    exact, upto = Fraction(0), []
    for cost in costs:
        exact += cost
        upto.append(to_digits(exact, DECIMALS))
    return [_plain(step) for step in _steps(upto)]


def _steps(upto: Sequence[Decimal]) -> list[Decimal]:
    """What each adds to the one before."""
    return [total((each, before.copy_negate())) for before, each in zip((Decimal(0), *upto), upto, strict=False)]


def _plain(number: Decimal) -> Decimal:
    return decimal_of(Fraction(number))


def _merged(lines: Sequence[DayCost]) -> list[DayCost]:
    """One line of each plan, metric and period, though several segments of it lie in the day."""
    found: dict[tuple[str, str, str, datetime], DayCost] = {}
    for line in lines:
        place = (line.kind, line.metric, line.plan, line.start)
        there = found.get(place)
        if there is not None:
            line = DayCost(
                line.kind, line.plan, line.currency, line.start, line.end, _plain(total((there.cost, line.cost))),
                line.metric, line.unit, _plain(total((there.quantity, line.quantity))),
            )  # fmt: skip
        found[place] = line
    return [line for _place, line in sorted(found.items())]
