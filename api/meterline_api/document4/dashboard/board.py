"""What stands on the dashboard, as texts, from the numbers that ``/api/billing/analytics`` answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final
from zoneinfo import ZoneInfo

from meterline_api.billing.rendering.sheet import TAX
from meterline_api.billing.rendering.words import counted, day, grouped, minute, money, month, said, stretch
from meterline_api.document4.dashboard.chart import Bars, bars_of
from meterline_api.document4.dashboard.days import Week
from meterline_api.document4.forms import Summary, trend_of
from meterline_api.document4.names import METRICS

_MEASURED: Final = "storage"  # the one that the document shows with its unit
_FEW: Final = 3
_EVERY_DIGIT: Final = 1000
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Change:
    """``arrow`` is ▲, ▼ or empty; ``text`` has the percent with its sign."""

    arrow: str
    text: str


@dataclass(frozen=True)
class Card:
    title: str
    count: str
    cost: str
    change: Change


@dataclass(frozen=True)
class Chart:
    """``values`` are what ``bars`` show, one for each day; ``most`` is the greatest of them."""

    title: str
    bars: Bars
    values: tuple[str, ...]
    most: str


@dataclass(frozen=True)
class DayName:
    """``Mon`` and ``Mon, 16 November 2026``."""

    short: str
    whole: str


@dataclass(frozen=True)
class Amount:
    """A row of the breakdown; ``part``: it is a part of the row above that is none."""

    name: str
    amount: str
    part: bool = False


@dataclass(frozen=True)
class Link:
    name: str
    address: str


@dataclass(frozen=True)
class Board:
    """``period`` has a label, such as ``Current month``, and what it is, such as ``January 2025``."""

    company: str
    company_id: str
    period: tuple[str, str]
    as_of: str
    projected: str
    projected_change: Change
    nothing: str
    cards: tuple[Card, ...]
    days: tuple[DayName, ...]
    charts: tuple[Chart, ...]
    nothing_in_days: str
    breakdown: tuple[Amount, ...]
    total: str
    links: tuple[Link, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """What a company and its metrics are called, the company's time zone, and where links lead."""

    company: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    links: tuple[Link, ...] = ()


def board_of(current: Summary, last: Summary, projected: Decimal, week: Week, now: datetime, names: Names) -> Board:
    """The month that runs at ``now``, the one before, and the cost of the whole of it; the last days in ``week``."""
    label, period = _period(current, names.zone)
    trend, currency = trend_of(current, last, projected), current.currency
    used = any(line.count for line in current.lines.values())
    used_in_days = any(value for each in week.days for value in each.counts.values())
    return Board(
        company=said(names.company) or said(current.company),
        company_id=said(current.company),
        period=(f"Current {label}", period),
        as_of=f"{minute(now.replace(second=0, microsecond=0), names.zone)} ({names.zone})",
        projected=money(projected, currency),
        projected_change=_change(trend.cost, label),
        nothing="" if used else f"There is no usage of these metrics in this {label} yet.",
        cards=tuple(
            Card(named.title, _count(key, current), _cost(key, current), _change(trend.metrics[key], label))
            for key, named in METRICS.items()
        ),
        days=tuple(_day(each.start, week.zone) for each in week.days),
        charts=tuple(_chart(key, current, week) for key in METRICS),
        nothing_in_days="" if used_in_days else "There is no usage of these metrics in the last 7 days.",
        breakdown=tuple(_breakdown(current, names.metrics)),
        total=money(current.total_cost, currency),
        links=names.links,
        notes=(
            f"A trend is this {label} so far against the whole {label} before; the projection goes to the end of this "
            f"{label}, and its base fee counts once.",
            *(f"{note[:1].upper()}{note[1:]}." for note in map(said, current.notes)),
            TAX,
        ),
    )


def _period(current: Summary, zone: str) -> tuple[str, str]:
    """``month`` and its name, by the zone's months or those of UTC; else ``period`` and its days."""
    name = month(current.start, current.end, zone) or month(current.start, current.end, "UTC")
    return ("month", name) if name else ("period", f"{stretch(current.start, current.end, zone)} ({zone})")


def _change(percent: Decimal | None, label: str) -> Change:
    if percent is None:
        return Change("", f"nothing to compare with in the last {label}")
    sign, arrow = ("+", "▲") if percent > 0 else ("", "▼" if percent < 0 else "")
    return Change(arrow, f"{sign}{grouped(percent)}% vs last {label}")


def _amount(key: str, count: Decimal, unit: str) -> str:
    """Of storage a mean, to three decimals where that leaves something of it."""
    if key != _MEASURED:
        return grouped(count)
    with localcontext() as context:
        context.prec = _EVERY_DIGIT
        return counted(round(count, _FEW) or count, unit)


def _count(key: str, current: Summary) -> str:
    return _amount(key, current.lines[key].count, current.lines[key].unit)


def _cost(key: str, current: Summary) -> str:
    amount = current.lines[key].cost.amount
    return "no price" if amount is None else money(amount, current.currency)


def _chart(key: str, current: Summary, week: Week) -> Chart:
    values = [each.counts[key] for each in week.days]
    unit = current.lines[key].unit
    shown = tuple(_amount(key, value, unit) for value in values)
    return Chart(METRICS[key].title, bars_of(values), shown, _amount(key, max(values), unit))


def _day(start: datetime, zone: str) -> DayName:
    short = _WEEKDAYS[start.astimezone(ZoneInfo(zone)).weekday()]
    return DayName(short, f"{short}, {day(start, zone)}")


def _breakdown(current: Summary, metrics: Mapping[str, str]) -> list[Amount]:
    """The base fee, and usage by metric: all of them and their sum, whichever have a price."""
    currency = current.currency
    priced = [
        Amount(METRICS[key].title, money(line.cost.amount, currency), part=True)
        for key, line in current.lines.items()
        if line.cost.amount is not None
    ]
    others = [
        Amount(said(metrics.get(key, "")) or said(key), money(cost, currency), part=True)
        for key, cost in sorted(current.others.items())
    ]
    usage = money(current.usage_cost, currency)
    return [Amount("Base fee", money(current.base_fee, currency)), Amount("Metered usage", usage), *priced, *others]
