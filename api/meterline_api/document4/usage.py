"""A company's usage of the document's five metrics, and what it costs: by its plan, else by the prices of quotas."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Final

from meterline_api.billing.invoices.periods import period_at, plans_of, tenant_of
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.pricing.money import Rounding, total
from meterline_api.document4.forms import Line, Summary
from meterline_api.document4.names import METRICS
from meterline_api.documents.costs import Cost, cost_of, mean_level, projected
from meterline_api.documents.period_usage import is_gauge, month_of, months_of_gauge, used
from meterline_api.documents.plan_costs import PlanCosts, plan_costs, running_costs
from meterline_api.models import UsageRow
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_schemas.catalog import Book, Metric

_MOMENT: Final = timedelta(milliseconds=1)


def month_at(book: Book, company: str, at: datetime) -> tuple[datetime, datetime]:
    """What a company is invoiced by: the period of its plan; without one the calendar month."""
    try:
        due = period_at(tenant_of(book, company), book.tenant_plan(company), plans_of(book), at)
    except PricingError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    return (due.start, due.end) if due is not None else month_of(book, company, at)


async def summary_of(
    service: Service, company: str, start: datetime, end: datetime, now: datetime, rounding: Rounding
) -> Summary:
    """Usage of ``[start, end)``. What a plan or quota includes is taken off once for a period.

    Raises:
        Problem: 409, it cannot be priced in one currency; ClickHouse does not answer.
    """
    book = service.catalog.book
    rows = await used(service, company, start, end, now)
    by_plan = await plan_costs(service.clickhouse, book, company, start, end, rounding)
    if by_plan is not None:
        return _of_plan(book, company, (start, end), rows, by_plan, now)
    lines = {}
    for key in METRICS:
        metric, row = book.metrics.get(key), rows.get(key)
        billed = Decimal(row.value) if row is not None else Decimal(0)
        if is_gauge(metric) and row is not None:
            billed = await months_of_gauge(service, (company,), key, start, end, now)
        lines[key] = _line(metric, row, (start, end), now, cost_of(book.quota(company, key), billed))
    found = Summary(company, start, end, lines)
    if len(found.currencies) > 1:
        named = " and ".join(sorted(found.currencies))
        raise Problem(
            HTTPStatus.CONFLICT,
            Code.CONFLICT,
            f"prices of {company!r} are in {named}, and here costs are summed: give its quotas one currency",
        )
    return found


async def analytics_of(
    service: Service, company: str, now: datetime, rounding: Rounding
) -> tuple[Summary, Summary, Decimal]:
    """This month so far, the last one, and what this one will have cost at its end."""
    book = service.catalog.book
    start, end = month_at(book, company, now)
    current = await summary_of(service, company, start, end, now, rounding)
    last = await summary_of(service, company, *month_at(book, company, start - _MOMENT), now, rounding)
    running = await running_costs(service.clickhouse, book, company, now, rounding)
    if running is not None:
        _estimate, _current, by_the_end = running
        return current, last, max(by_the_end.total, current.total_cost)
    return current, last, _at_the_end(book, current, now)


def _of_plan(
    book: Book,
    company: str,
    bounds: tuple[datetime, datetime],
    rows: Mapping[str, UsageRow],
    by_plan: PlanCosts,
    now: datetime,
) -> Summary:
    lines = {
        key: _line(book.metrics.get(key), rows.get(key), bounds, now, by_plan.costs.get(key, _unpriced(rows.get(key))))
        for key in METRICS
    }
    others = {key: cost.amount for key, cost in by_plan.costs.items() if key not in METRICS and cost.amount}
    return Summary(company, *bounds, lines, by_plan.plan, by_plan.base_fee, others, by_plan.currency)


def _line(
    metric: Metric | None, row: UsageRow | None, bounds: tuple[datetime, datetime], now: datetime, cost: Cost
) -> Line:
    count = Decimal(row.value) if row is not None else Decimal(0)
    if is_gauge(metric):
        count = mean_level(count, bounds[0], min(bounds[1], now))
    return Line(count, metric.unit if metric is not None else "", cost)


def _unpriced(row: UsageRow | None) -> Cost:
    return cost_of(None, Decimal(row.value) if row is not None else Decimal(0))


def _at_the_end(book: Book, current: Summary, now: datetime) -> Decimal:
    """By the prices of quotas."""

    def project(metric: Metric | None, cost: Cost, key: str) -> Cost:
        if metric is None:
            return cost
        quantity = projected(metric.aggregation, cost.quantity, current.start, current.end, now)
        return cost_of(book.quota(current.company, key), quantity)

    costs = (project(book.metrics.get(key), line.cost, key) for key, line in current.lines.items())
    return total(cost.amount or Decimal(0) for cost in costs)
