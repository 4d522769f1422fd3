"""Which steps of its thresholds a counter has reached, and what is told of it: each step once in a period. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from meterline_schemas.catalog import Aggregation, Threshold
from meterline_schemas.counter import average
from meterline_schemas.notification import (
    BillingThresholdExceeded,
    Notification,
    ThresholdCrossed,
    Type,
    notification,
)
from meterline_schemas.quantity import NANO, format_nano

if TYPE_CHECKING:
    from meterline_streams.counters import Lane, Running

Reason = Literal["period_ended", "limit_raised", "threshold_deleted"]

_FULL: Final = Decimal(100)


def of(lane: Lane, run: Running, now: datetime) -> Iterator[Notification]:
    """What is to be told of a counter that changed, or whose limits did; ``run.fired`` remembers it."""
    watch = lane.watch
    if run.complete or watch.only_rises:
        used = used_of(lane, run)
        steps = {}
        for step in watch.steps:
            key = (step.threshold.id, format(step.percent, "f"))
            limit = format(step.limit, "f")
            steps[key] = step
            if used >= step.level:
                if key not in run.fired:
                    run.fired[key] = limit
                    yield from _crossed(lane, run, key, limit, step.threshold, used, now)
            elif run.fired.get(key, limit) != limit:
                yield from _resolved(lane, run, key, used, now, "limit_raised")
        for key in [key for key in run.fired if key not in steps]:
            yield from _resolved(lane, run, key, used, now, "threshold_deleted")


def resolved(lane: Lane, run: Running, now: datetime, reason: Reason) -> Iterator[Notification]:
    """That everything that was told of a counter is over."""
    used = used_of(lane, run)
    for key in list(run.fired):
        yield from _resolved(lane, run, key, used, now, reason)


def used_of(lane: Lane, run: Running) -> int:
    """What the counter comes to, in nano-units; of a gauge its level."""
    match lane.watch.aggregation:
        case Aggregation.COUNT:
            return run.count * NANO
        case Aggregation.MIN:
            return run.min
        case Aggregation.MAX:
            return run.max
        case Aggregation.LAST | Aggregation.TIME_WEIGHTED:
            return run.last
        case Aggregation.AVG:
            return average(run.sum, run.count)
        case _:
            return run.sum


def _crossed(
    lane: Lane, run: Running, key: tuple[str, str], limit: str, threshold: Threshold, used: int, now: datetime
) -> Iterator[Notification]:
    tenant, metric, _subject = lane.scope
    type = Type.THRESHOLD_EXCEEDED if Decimal(key[1]) >= _FULL else Type.THRESHOLD_APPROACHING
    data = _data(lane, run, key, limit, used, threshold)
    yield notification(type, now, tenant, data, _identity(lane, run, key, limit))
    billing = BillingThresholdExceeded(
        companyId=tenant,
        metric=metric,
        currentUsage=msgspec.Raw(data.usage.encode()),
        threshold=msgspec.Raw(limit.encode()),
        estimatedCost=msgspec.Raw((data.estimated_cost or "null").encode()),
        thresholdId=threshold.id,
        percent=msgspec.Raw(key[1].encode()),
    )
    yield notification(Type.BILLING_THRESHOLD_EXCEEDED, now, tenant, billing, _identity(lane, run, key, limit))


def _resolved(
    lane: Lane, run: Running, key: tuple[str, str], used: int, now: datetime, reason: Reason
) -> Iterator[Notification]:
    limit = run.fired.pop(key)
    threshold = next((step.threshold for step in lane.watch.steps if step.threshold.id == key[0]), None)
    data = _data(lane, run, key, limit, used, threshold)
    data.reason = reason
    yield notification(Type.THRESHOLD_RESOLVED, now, lane.scope[0], data, _identity(lane, run, key, limit))


def _data(
    lane: Lane, run: Running, key: tuple[str, str], limit: str, used: int, threshold: Threshold | None
) -> ThresholdCrossed:
    tenant, metric, subject = lane.scope
    data = ThresholdCrossed(
        threshold_id=key[0],
        tenant_id=tenant,
        metric=metric,
        subject=subject,
        usage=format_nano(used),
        limit=limit,
        percent=percent(used, limit),
        step=key[1],
        action=threshold.action.value if threshold is not None else "alert",
        period=lane.watch.name,
        period_start=run.start,
        period_end=run.end,
    )
    quota = lane.watch.quota
    if quota is not None and quota.price_per_unit is not None:
        over = max(used - int(quota.included * NANO), 0)
        cost, rest = divmod(over * int(quota.price_per_unit * NANO), NANO)
        data.estimated_cost = format_nano(cost + (2 * rest >= NANO))
        data.currency = quota.currency
    return data


def percent(used: int, limit: str) -> str:
    """Usage (nano-units) in percent of a limit, cut to two decimals; of a limit of 0 it is 100 for any usage."""
    whole = int(Decimal(limit) * NANO)
    if whole == 0:
        return "100" if used > 0 else "0"
    hundredths = used * 10_000 // whole if used >= 0 else -(-used * 10_000 // whole)
    return format_nano(hundredths * (NANO // 100))


def _identity(lane: Lane, run: Running, key: tuple[str, str], limit: str) -> tuple[str, ...]:
    return (*lane.scope, lane.watch.name, run.start.isoformat(), *key, limit)
