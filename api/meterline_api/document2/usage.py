"""What an organisation used of its features, and what that comes to, in the running period and those before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from meterline_api.document2.features import ALIASES
from meterline_api.document2.forms import Feature
from meterline_api.documents.costs import cost_of, mean_level, projected
from meterline_api.documents.period_usage import back, calendar_of, clipped, is_gauge, used, visible
from meterline_api.documents.shared import find_metric
from meterline_api.models import UsageRow
from meterline_api.service import Service
from meterline_schemas.catalog import Metric, Quota

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


async def running(service: Service, tenant_id: str, metrics: Sequence[Metric] | None, now: datetime) -> list[Feature]:
    """Features in their running period: those that were used, then those that are only included.

    Those of ``metrics``, used or not; without, every one that was used or has a quota. A gauge is its level.
    """
    book = service.catalog.book
    asked = list(visible(book, tenant_id)) if metrics is None else metrics
    of_period: dict[Bounds, list[tuple[Metric, Quota | None]]] = defaultdict(list)
    for metric in asked:
        quota = book.quota(tenant_id, metric.key)
        of_period[clipped(calendar_of(book, metric, quota, tenant_id).bounds(now))].append((metric, quota))
    touched: list[Feature] = []
    untouched: list[Feature] = []
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
    service: Service, tenant_id: str, metrics: Sequence[Metric] | None, limit: int, now: datetime
) -> list[tuple[Bounds, list[Feature]]]:
    """Features by period, the latest first: of each kind of period ``limit`` at most. A gauge is its mean level."""
    book = service.catalog.book
    asked = {metric.key: metric for metric in (visible(book, tenant_id) if metrics is None else metrics)}
    wanted: dict[Bounds, list[tuple[Metric, Quota | None]]] = defaultdict(list)
    for metric in asked.values():
        quota = book.quota(tenant_id, metric.key)
        for bounds in back(calendar_of(book, metric, quota, tenant_id), now, limit):
            wanted[bounds].append((metric, quota))
    found = []
    for bounds in sorted(wanted, reverse=True):
        members = wanted[bounds]
        rows = await used(service, tenant_id, *bounds, now, members[0][0].key if len(members) == 1 else None)
        features = [
            _feature(metric, quota, bounds, row, now)
            for metric, quota in members
            if (row := rows.get(metric.key)) is not None
        ]
        if features:
            found.append((bounds, _sorted(features)))
    return found


def _feature(
    metric: Metric,
    quota: Quota | None,
    bounds: Bounds,
    row: UsageRow | None,
    now: datetime,
    level: Decimal | None = None,
) -> Feature:
    start, end = bounds
    quantity = Decimal(row.value) if row is not None else Decimal(0)
    by_end = projected(metric.aggregation, quantity, start, end, now)
    if is_gauge(metric):
        quantity = by_end = mean_level(quantity, start, min(end, now)) if level is None else level
    return Feature(metric, start, end, cost_of(quota, quantity), cost_of(quota, by_end))


async def _level(service: Service, tenant_id: str, metric: Metric, now: datetime) -> Decimal | None:
    """What a gauge is at, as its quota counts it; None where nobody counts it."""
    status = await service.quotas.check(tenant_id, metric, "", now)
    return None if status.used is None else Decimal(status.used)


def _sorted(features: Iterable[Feature]) -> list[Feature]:
    return sorted(features, key=lambda feature: feature.metric.key)
