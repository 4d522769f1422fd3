"""Estimates and simulations as they are answered: decimals and instants as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from meterline_api.billing.estimates.estimate import Estimate
from meterline_api.billing.estimates.priced import PricedPeriod
from meterline_api.billing.estimates.simulation import Compared, Side
from meterline_api.billing.pricing.bill import Bill
from meterline_api.billing.pricing.money import decimal_of, total
from meterline_api.billing.rendering.json import line_body
from meterline_api.billing.rendering.words import amount, exact
from meterline_api.documents.costs import change
from meterline_api.formats.text import instant


def estimate_body(found: Estimate) -> dict[str, Any]:
    due, bill = found.current.due, found.current.bill
    currency = str(bill.currency)
    return {
        "tenant_id": due.tenant.id,
        "plan": _plan_at(found.current, found.at),
        "currency": currency,
        "from": instant(due.start),
        "to": instant(due.end),
        "at": instant(found.at),
        "current": _amounts(bill, currency),
        "projected": {**_amounts(found.projected, currency), "seasonal": list(found.seasonal)},
        "previous": None if found.previous is None else _previous(found.previous),
        "trend": {"cost": _text(cost_trend(found))},
        "unpriced": [{"metric": each.metric, "quantity": exact(each.quantity)} for each in bill.unpriced],
    }


def cost_trend(found: Estimate) -> Decimal | None:
    """The projected total against that of the period before, in percent; None where there was nothing, or another
    currency.
    """
    before = found.previous.bill if found.previous is not None else None
    if before is None or before.currency != found.projected.currency:
        return None
    return change(found.projected.total, before.total)


def simulation_body(plan: str, at: datetime, compared: Sequence[Compared], *, lines: bool) -> dict[str, Any]:
    """``lines``: with those of both sides."""
    sums: dict[str, dict[str, list[Decimal]]] = defaultdict(lambda: {"current": [], "simulated": []})
    for each in compared:
        for name, side in (("current", each.current), ("simulated", each.simulated)):
            if side is not None:
                sums[side.currency][name].append(side.total)
    return {
        "plan": plan,
        "at": instant(at),
        "data": [_compared(each, lines=lines) for each in compared],
        "totals": [
            {"currency": currency, **{name: amount(total(found), currency) for name, found in by_side.items()}}
            for currency, by_side in sorted(sums.items())
        ],
        **_counts(compared),
    }


def _counts(compared: Iterable[Compared]) -> dict[str, int]:
    names = ("pay_more", "pay_less", "pay_the_same", "not_comparable")
    counted = Counter(_kind(each.difference) for each in compared)
    return {name: counted[name] for name in names}


def _kind(difference: Decimal | None) -> str:
    if difference is None:
        return "not_comparable"
    return "pay_more" if difference > 0 else "pay_less" if difference < 0 else "pay_the_same"


def _compared(each: Compared, *, lines: bool) -> dict[str, Any]:
    priced, difference = each.simulated, each.difference
    return {
        "tenant_id": each.tenant_id,
        "from": None if priced is None else instant(each.start),
        "to": None if priced is None else instant(each.end),
        "current": None if each.current is None else _side(each.current, lines=lines),
        "simulated": None if priced is None else _side(priced, lines=lines),
        "difference": None if priced is None or difference is None else amount(difference, priced.currency),
        "problem": each.problem,
    }


def _side(side: Side, *, lines: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "plans": list(side.plans),
        "currency": side.currency,
        "total": amount(side.total, side.currency),
    }
    if lines:
        found["lines"] = [line for period in side.periods for line in _lines(period.bill, side.currency)]
    return found


def _amounts(bill: Bill, currency: str) -> dict[str, Any]:
    return {
        "total": amount(bill.total, currency),
        "exact_total": _exact(sum(bill.exact, Fraction(0))),
        "lines": _lines(bill, currency),
    }


def _lines(bill: Bill, currency: str) -> list[dict[str, Any]]:
    return [
        {**line_body(line, currency), "exact_amount": _exact(unrounded)}
        for line, unrounded in zip(bill.lines, bill.exact, strict=True)
    ]


def _previous(period: PricedPeriod) -> dict[str, Any]:
    currency = str(period.bill.currency)
    return {
        "from": instant(period.due.start),
        "to": instant(period.due.end),
        "plan": period.due.segments[-1].plan.id,
        "currency": currency,
        "total": amount(period.bill.total, currency),
    }


def _plan_at(period: PricedPeriod, at: datetime) -> str:
    return next(each.plan.id for each in period.due.segments if each.start <= at < each.end)


def _exact(value: Fraction) -> str:
    return exact(decimal_of(value))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else exact(value)
