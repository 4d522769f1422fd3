"""Which steps of its thresholds a counter has reached, and what is told of it: each step once in a period. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from meterline_schemas import rating
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
from meterline_streams.limits import nano

if TYPE_CHECKING:
    from meterline_streams.counters import Lane, Running
    from meterline_streams.limits import Step

Reason = Literal["period_ended", "period_changed", "limit_raised", "threshold_deleted"]

_FULL: Final = Decimal(100)


def of(lane: Lane, run: Running, now: datetime) -> Sequence[Notification]:
    """What is to be told of a counter that changed, or whose limits did; ``run.fired`` remembers it."""
    watch, fired = lane.watch, run.fired
    if not (run.complete or watch.only_rises):
        return ()
    used = used_of(lane, run)
    told: list[Notification] = []
    for step in watch.steps:
        if used >= step.level:
            if step.key not in fired:
                fired[step.key] = step.limit_text
                told.extend(_crossed(lane, run, step, used, now))
        elif fired and fired.get(step.key, step.limit_text) != step.limit_text:
            told.append(_resolved(lane, run, step.key, used, now, "limit_raised"))
    if not watch.keys.issuperset(fired):
        gone = sorted(fired.keys() - watch.keys)
        told.extend(_resolved(lane, run, key, used, now, "threshold_deleted") for key in gone)
    return told


def resolved(lane: Lane, run: Running, now: datetime, reason: Callable[[str], Reason]) -> list[Notification]:
    """That everything that was told of a counter is over, and why, by the id of the threshold."""
    used = used_of(lane, run)
    return [_resolved(lane, run, key, used, now, reason(key[0])) for key in list(run.fired)]


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


def _crossed(lane: Lane, run: Running, step: Step, used: int, now: datetime) -> Iterator[Notification]:
    tenant, metric, _subject = lane.scope
    identity = _identity(lane, run, step.key, step.limit_text)
    data = _data(lane, run, step.key, step.limit_text, used, step.threshold)
    type = Type.THRESHOLD_EXCEEDED if Decimal(step.key[1]) >= _FULL else Type.THRESHOLD_APPROACHING
    yield notification(type, now, tenant, data, identity)
    billing = BillingThresholdExceeded(
        companyId=tenant,
        metric=metric,
        currentUsage=msgspec.Raw(data.usage.encode()),
        threshold=msgspec.Raw(step.limit_text.encode()),
        estimatedCost=msgspec.Raw((data.estimated_cost or "null").encode()),
        thresholdId=step.threshold.id,
        percent=msgspec.Raw(step.key[1].encode()),
    )
    yield notification(Type.BILLING_THRESHOLD_EXCEEDED, now, tenant, billing, identity)


def _resolved(lane: Lane, run: Running, key: tuple[str, str], used: int, now: datetime, reason: Reason) -> Notification:
    limit = run.fired.pop(key)
    threshold = next((step.threshold for step in lane.watch.steps if step.threshold.id == key[0]), None)
    data = _data(lane, run, key, limit, used, threshold)
    data.reason = reason
    return notification(Type.THRESHOLD_RESOLVED, now, lane.scope[0], data, _identity(lane, run, key, limit))


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
        percent=rating.percent(used, nano(Decimal(limit))),
        step=key[1],
        action=threshold.action.value if threshold is not None else "alert",
        period=lane.watch.name,
        period_start=run.start,
        period_end=run.end,
    )
    quota = lane.watch.quota
    if quota is not None and quota.price_per_unit is not None:
        data.estimated_cost = rating.cost(max(used - nano(quota.included), 0), nano(quota.price_per_unit))
        data.currency = quota.currency
    return data


def _identity(lane: Lane, run: Running, key: tuple[str, str], limit: str) -> tuple[str, ...]:
    return (*lane.scope, lane.watch.name, run.start.isoformat(), *key, limit)
