"""What an organisation used of its features, and what that comes to, in the running period and those before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from meterline_api.billing.estimates.estimate import Estimate
from meterline_api.billing.invoices.periods import calendar, tenant_of
from meterline_api.billing.pricing.money import Rounding
from meterline_api.document2.features import ALIASES
from meterline_api.document2.forms import Feature
from meterline_api.documents.costs import Cost, cost_of, mean_level, projected
from meterline_api.documents.period_usage import back, calendar_of, clipped, is_gauge, used, visible
from meterline_api.documents.plan_costs import PlanCosts, plan_costs, running_costs
from meterline_api.documents.shared import find_metric
from meterline_api.models import UsageRow
from meterline_api.service import Service
from meterline_schemas.catalog import Book, Metric, Quota
from meterline_schemas.periods import Calendar

Bounds = tuple[datetime, datetime]


def named_features(service: Service, tenant_id: str, names: str | None) -> list[Metric] | None:
    """The metrics of ``A,B``, each once; None: all.

    Raises:
        Problem: one is not defined.
    """
    if names is None:
        return None
    asked = (find_metric(service, tenant_id, name.strip(), ALIASES) for name in names.split(","))
    return list({metric.key: metric for metric in asked}.values())


async def running(
    service: Service, tenant_id: str, metrics: Sequence[Metric] | None, now: datetime, rounding: Rounding
) -> list[Feature]:
    """Features in their running period: those that were used, then those that are only included.

    Those of ``metrics``, used or not; without, every one that was used, has a quota or is charged by the plan. What a
    plan charges is in the period of the plan, at its price; all else in that of its quota. A gauge is its level.
    """
    book = service.catalog.book
    asked = list(visible(book, tenant_id)) if metrics is None else metrics
    on_plan = await running_costs(service.clickhouse, book, tenant_id, now, rounding)
    charged = {} if on_plan is None else on_plan[1].costs
    touched: list[Feature] = []
    untouched: list[Feature] = []
    if on_plan is not None:
        for metric in (metric for metric in asked if metric.key in charged):
            level = await _level(service, tenant_id, metric, now) if is_gauge(metric) else None
            feature = _of_plan(metric, book.quota(tenant_id, metric.key), *on_plan, level)
            was_used = any(metric.key in used for _segment, used in on_plan[0].current.parts)
            (touched if was_used else untouched).append(feature)
    of_period: dict[Bounds, list[tuple[Metric, Quota | None]]] = defaultdict(list)
    for metric in (metric for metric in asked if metric.key not in charged):
        quota = book.quota(tenant_id, metric.key)
        of_period[clipped(calendar_of(book, metric, quota, tenant_id).bounds(now))].append((metric, quota))
    for (start, end), members in of_period.items():
        rows = await used(service, tenant_id, start, end, now, members[0][0].key if len(members) == 1 else None)
        for metric, quota in members:
            row = rows.get(metric.key)
            quantity = await _level(service, tenant_id, metric, now) if is_gauge(metric) else None
            feature = _feature(metric, quota, (start, end), row, now, quantity)
            if row is not None:
                touched.append(feature)
            elif metrics is not None or quota is not None:
                untouched.append(feature)
    return [*_sorted(touched), *_sorted(untouched)]


async def history(
    service: Service, tenant_id: str, metrics: Sequence[Metric] | None, limit: int, now: datetime, rounding: Rounding
) -> list[tuple[Bounds, list[Feature]]]:
    """Features by period, the latest first: of each kind of period ``limit`` at most. A gauge is its mean level.

    What was charged by a plan is at its price of then, in the periods of the plan of now.
    """
    book = service.catalog.book
    asked = {metric.key: metric for metric in (visible(book, tenant_id) if metrics is None else metrics)}
    wanted: dict[Bounds, list[tuple[Metric, Quota | None]]] = defaultdict(list)
    for metric in asked.values():
        quota = book.quota(tenant_id, metric.key)
        for bounds in back(_calendar(book, metric, quota, tenant_id, now), now, limit):
            wanted[bounds].append((metric, quota))
    found = []
    for bounds in sorted(wanted, reverse=True):
        members = wanted[bounds]
        rows = await used(service, tenant_id, *bounds, now, members[0][0].key if len(members) == 1 else None)
        if not any(metric.key in rows for metric, _quota in members):
            continue
        by_plan = await plan_costs(service.clickhouse, book, tenant_id, *bounds, rounding)
        features = [
            _feature(metric, quota, bounds, row, now, None, by_plan)
            for metric, quota in members
            if (row := rows.get(metric.key)) is not None
        ]
        found.append((bounds, _sorted(features)))
    return found


def _calendar(book: Book, metric: Metric, quota: Quota | None, tenant_id: str, now: datetime) -> Calendar:
    """The plan's periods, of what the plan of now charges."""
    plan = book.plan_of(tenant_id, now)
    if plan is not None and plan.at(now).charge(metric.key) is not None:
        return calendar(tenant_of(book, tenant_id), plan.period)
    return calendar_of(book, metric, quota, tenant_id)


def _of_plan(
    metric: Metric,
    quota: Quota | None,
    running: Estimate,
    current: PlanCosts,
    by_the_end: PlanCosts,
    level: Decimal | None,
) -> Feature:
    now, then = (_at_level(metric, costs.costs[metric.key], level) for costs in (current, by_the_end))
    due = running.current.due
    return Feature(metric, due.start, due.end, now, then, _allowed(quota, now))


def _feature(
    metric: Metric,
    quota: Quota | None,
    bounds: Bounds,
    row: UsageRow | None,
    now: datetime,
    level: Decimal | None = None,
    by_plan: PlanCosts | None = None,
) -> Feature:
    start, end = bounds
    quantity = Decimal(row.value) if row is not None else Decimal(0)
    by_end = projected(metric.aggregation, quantity, start, end, now)
    if is_gauge(metric):
        quantity = by_end = mean_level(quantity, start, min(end, now)) if level is None else level
    if by_plan is not None and metric.key in by_plan.costs:
        cost = _at_level(metric, by_plan.costs[metric.key], quantity)
        whole = by_plan.bills[0] if len(by_plan.bills) == 1 else None
        return Feature(metric, start, end, cost, cost, _allowed(quota, cost), whole)
    cost = cost_of(quota, quantity)
    return Feature(metric, start, end, cost, cost_of(quota, by_end), cost.included)


def _at_level(metric: Metric, cost: Cost, level: Decimal | None) -> Cost:
    """Of a gauge the level is shown, and costs what its time costs."""
    if not is_gauge(metric) or level is None:
        return cost
    return cost._replace(quantity=level, overage=max(level - (cost.included or Decimal(0)), Decimal(0)))


def _allowed(quota: Quota | None, cost: Cost) -> Decimal | None:
    """How much may be used without more ado: as the quota says, else what the plan includes, if it includes any."""
    return quota.included if quota is not None else (cost.included or None)


async def _level(service: Service, tenant_id: str, metric: Metric, now: datetime) -> Decimal | None:
    """What a gauge is at, as its quota counts it; None where nobody counts it."""
    status = await service.quotas.check(tenant_id, metric, "", now)
    return None if status.used is None else Decimal(status.used)


def _sorted(features: Iterable[Feature]) -> list[Feature]:
    return sorted(features, key=lambda feature: feature.metric.key)
