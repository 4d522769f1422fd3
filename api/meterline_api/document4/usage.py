"""A company's usage of the document's five metrics, and what it costs."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus

from meterline_api.document4.forms import Line, Summary
from meterline_api.document4.names import METRICS
from meterline_api.documents.costs import Cost, cost_of, mean_level, projected
from meterline_api.documents.period_usage import is_gauge, month_of, months_of_gauge, used
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_schemas.catalog import Metric

_MOMENT = timedelta(milliseconds=1)


async def summary_of(service: Service, company: str, start: datetime, end: datetime, now: datetime) -> Summary:
    """Usage of ``[start, end)``, whole hours. What a quota includes is taken off once.

    Raises:
        Problem: 409, prices are in several currencies; ClickHouse does not answer.
    """
    book = service.catalog.book
    rows = await used(service, company, start, end, now)
    lines = {}
    for key in METRICS:
        metric, row = book.metrics.get(key), rows.get(key)
        count = billed = Decimal(row.value) if row is not None else Decimal(0)
        if is_gauge(metric):
            count = mean_level(count, start, min(end, now))
            billed = await months_of_gauge(service, (company,), key, start, end, now) if row is not None else billed
        lines[key] = Line(count, metric.unit if metric is not None else "", cost_of(book.quota(company, key), billed))
    found = Summary(company, start, end, lines)
    if len(found.currencies) > 1:
        named = " and ".join(sorted(found.currencies))
        raise Problem(
            HTTPStatus.CONFLICT,
            Code.CONFLICT,
            f"prices of {company!r} are in {named}, and here costs are summed: give its quotas one currency",
        )
    return found


async def analytics_of(service: Service, company: str, now: datetime) -> tuple[Summary, Summary, Summary]:
    """This month so far, the last one, and this one as it will be at its end."""
    start, end = month_of(service.catalog.book, company, now)
    before = month_of(service.catalog.book, company, start - _MOMENT)
    current = await summary_of(service, company, start, end, now)
    last = await summary_of(service, company, *before, now)
    return current, last, _at_the_end(service, current, now)


def _at_the_end(service: Service, current: Summary, now: datetime) -> Summary:
    book = service.catalog.book

    def project(metric: Metric | None, cost: Cost, key: str) -> Cost:
        if metric is None:
            return cost
        quantity = projected(metric.aggregation, cost.quantity, current.start, current.end, now)
        return cost_of(book.quota(current.company, key), quantity)

    lines = {
        key: Line(line.count, line.unit, project(book.metrics.get(key), line.cost, key))
        for key, line in current.lines.items()
    }
    return Summary(current.company, current.start, current.end, lines)
