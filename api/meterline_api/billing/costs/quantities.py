"""What tenants used from the start of a period to the end of each of its UTC days, of the totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from meterline_api.billing.costs.days import utc_days
from meterline_api.billing.invoices.quantities import Tables
from meterline_api.usage.query import Numbers, UsageQuery, Window
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.quantity import exact_nano, format_nano

_ROWS: Final = 50_000_000
_NOTHING: Final = Numbers(0, "", "", "", "")

RunningOf = Mapping[str, Mapping[str, Sequence[Decimal]]]
"""By tenant and metric, for each day."""


async def running(
    tables: Tables,
    metrics: Mapping[str, Metric],
    charged: Collection[str],
    tenants: Sequence[str],
    start: datetime,
    end: datetime,
) -> RunningOf:
    """The number of each of the ``charged`` metrics from ``start`` to the end of each UTC day in ``[start, end)``.

    What was not used is not there.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    if start >= end or not tenants:
        return {}
    days = utc_days(start, end)
    known = [metrics[key] for key in sorted(charged) if key in metrics]
    whole = {metric.key for metric in known if _is_known_whole(metric)}
    found: dict[str, dict[str, Sequence[Decimal]]] = defaultdict(dict)
    for tenant_id, of_metrics in (await _by_day(tables, metrics, whole, tenants, start, end)).items():
        for metric, by_day in of_metrics.items():
            if metric in charged and metric not in whole:
                aggregation = metrics[metric].aggregation if metric in metrics else Aggregation.SUM
                found[tenant_id][metric] = added_up(by_day, aggregation, [int(day.timestamp()) for day, _end in days])
    for metric in sorted(whole):
        for tenant_id, numbers in (await _one_by_one(tables, metrics[metric], tenants, start, days)).items():
            found[tenant_id][metric] = numbers
    return found


def added_up(by_day: Mapping[int, Numbers], aggregation: Aggregation, days: Sequence[int]) -> list[Decimal]:
    """The number up to the end of each day, of those of the single days by the second that each begins at."""
    upto, found = _NOTHING, []
    for day in days:
        if day in by_day:
            upto = _joined(upto, by_day[day])
        found.append(Decimal(upto.value(aggregation)))
    return found


def _is_known_whole(metric: Metric) -> bool:
    """Whether its number over two days does not follow from those of both."""
    return metric.aggregation is Aggregation.UNIQUE_COUNT or metric.aggregation.percentile is not None


async def _by_day(
    tables: Tables,
    metrics: Mapping[str, Metric],
    whole: Collection[str],
    tenants: Sequence[str],
    start: datetime,
    end: datetime,
) -> dict[str, dict[str, dict[int, Numbers]]]:
    folded = {key: metric for key, metric in metrics.items() if not _is_known_whole(metric)}
    query = UsageQuery(start, end, Window.DAY, tuple(tenants), group_by=("tenant_id",), limit=_ROWS)
    sql, parameters = build(query, folded, min(end, datetime.now(UTC)))
    found: dict[str, dict[str, dict[int, Numbers]]] = defaultdict(lambda: defaultdict(dict))
    for day, metric, tenant_id, *numbers in await tables.rows(sql, parameters):
        if metric not in whole:
            found[tenant_id][metric][int(day)] = Numbers(*numbers)
    return found


async def _one_by_one(
    tables: Tables, metric: Metric, tenants: Sequence[str], start: datetime, days: Sequence[tuple[datetime, datetime]]
) -> dict[str, list[Decimal]]:
    """Each day asked for with all before it."""
    found: dict[str, list[Decimal]] = {}
    for number, (_start, end) in enumerate(days):
        query = UsageQuery(start, end, None, tuple(tenants), metric.key, group_by=("tenant_id",), limit=_ROWS)
        sql, parameters = build(query, {metric.key: metric}, end)
        rows: Sequence[Sequence[Any]] = await tables.rows(sql, parameters)
        for _window, _metric, tenant_id, *numbers in rows:
            of_tenant = found.setdefault(tenant_id, [Decimal(0)] * len(days))
            of_tenant[number] = Decimal(Numbers(*numbers).value(metric.aggregation))
    return found


def _joined(before: Numbers, after: Numbers) -> Numbers:
    """Of two spans of time that follow each other."""
    if before == _NOTHING:
        return after
    return Numbers(
        before.count + after.count,
        _sum(before.sum, after.sum),
        _one(before.min, after.min, min),
        _one(before.max, after.max, max),
        after.last or before.last,
        _sum(before.computed, after.computed),
    )


def _sum(before: str, after: str) -> str:
    return format_nano(exact_nano(before) + exact_nano(after)) if before and after else before or after


def _one(before: str, after: str, chosen: Any) -> str:
    return format_nano(chosen(exact_nano(before), exact_nano(after))) if before and after else before or after
