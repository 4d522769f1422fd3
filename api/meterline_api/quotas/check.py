"""What a quota has left, and whether more may be used: from the catalog and the counters alone. Pure.

All numbers are integers of nano-units until they are written as plain decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from meterline_schemas.catalog import Action, Aggregation, Book, Metric, Quota, Threshold
from meterline_schemas.catalog.book import counts_in_stream
from meterline_schemas.counter import CounterKey, Parts, value_of
from meterline_schemas.periods import LAST, Calendar
from meterline_schemas.quantity import exact_nano, format_nano
from meterline_schemas.rating import cost, percent, reached

_NOTHING: Final = Parts()
_MOMENT: Final = timedelta(milliseconds=1)


class Found(NamedTuple):
    """What a tenant or subject used in a period; not ``complete``: more than that may have been used."""

    parts: Parts
    complete: bool


class Usage(Protocol):
    """Where used amounts come from. None: nothing was used.

    ``end`` is where the period of ``key`` ends; ``changed_at`` is when it was last changed what is to be counted.
    """

    def find(self, key: CounterKey, end: datetime, changed_at: datetime | None) -> Found | None: ...


class ThresholdStatus(Struct, frozen=True):
    """A threshold and how near usage is. Without a limit it is of a quota that there is not: nothing is counted."""

    id: str
    subject: str
    action: Action
    used: str | None
    limit: str | None
    percent: str | None
    reached: bool
    resets_at: datetime | None


class QuotaStatus(Struct, frozen=True):
    """What is left of a quota. Amounts are plain decimals; those of a quota are None where there is none.

    ``used`` is None where neither a quota nor a threshold has it counted. ``blocked`` says whether events are refused
    over HTTP: for the subject or for the tenant as a whole. ``provisional``: more than that may have been used.
    """

    tenant_id: str
    metric: str
    subject: str
    aggregation: str
    unit: str
    has_quota: bool
    unlimited: bool
    blocked: bool
    used: str | None
    included: str | None
    remaining: str | None
    percent: str | None
    overage: str
    overage_amount: str | None
    currency: str | None
    period: str
    period_start: datetime | None
    resets_at: datetime | None
    thresholds: list[ThresholdStatus]
    provisional: bool


class _Level(NamedTuple):
    """How much was used, in nano-units, and the period that it was used in."""

    used: int
    complete: bool
    start: datetime | None
    end: datetime | None


def check(book: Book, usage: Usage, tenant_id: str, metric: Metric, subject: str, now: datetime) -> QuotaStatus:
    """What is left for a tenant, or a subject of it, at ``now``."""
    quota = book.quota(tenant_id, metric.key, subject) if counts_in_stream(metric.aggregation) else None
    states = []
    complete = True
    followed: tuple[Calendar, _Level] | None = None
    if quota is not None:
        followed = _level(book, usage, quota, tenant_id, metric, now)
        complete = followed[1].complete
    for threshold in _thresholds(book, tenant_id, metric, subject):
        calendar, level = _level(book, usage, threshold, tenant_id, metric, now)
        limit = _limit(book, threshold, tenant_id)
        states.append(_state(threshold, level, limit))
        if limit is not None:
            complete = complete and level.complete
            if followed is None and threshold.subject == subject:
                followed = calendar, level
    known = followed is not None
    if followed is None:
        calendar = Calendar(metric.reset_period, book.tenant(tenant_id).time_zone)
        followed = calendar, _Level(0, True, *_shown(*calendar.bounds(now)))
    calendar, level = followed
    included = None if quota is None else _nano(quota.included)
    over = 0 if included is None else max(level.used - included, 0)
    price = None if quota is None else quota.price_per_unit
    return QuotaStatus(
        tenant_id=tenant_id,
        metric=metric.key,
        subject=subject,
        aggregation=metric.aggregation,
        unit=metric.unit,
        has_quota=included is None or level.used < included,
        unlimited=included is None,
        blocked=any(state.reached and state.action is Action.BLOCK for state in states),
        used=format_nano(level.used) if known else None,
        included=None if included is None else format_nano(included),
        remaining=None if included is None else format_nano(max(included - level.used, 0)),
        percent=None if included is None else percent(level.used, included),
        overage=format_nano(over),
        overage_amount=None if price is None else cost(over, _nano(price)),
        currency=None if quota is None else quota.currency,
        period=str(calendar),
        period_start=level.start,
        resets_at=level.end,
        thresholds=states,
        provisional=not complete,
    )


class Refusal(NamedTuple):
    """Why no more may be used in a period, ``[start, end)``."""

    start: datetime
    end: datetime
    detail: str


def refusals(
    book: Book, usage: Usage, tenant_id: str, metric: Metric, subject: str, now: datetime
) -> Iterator[Refusal]:
    """Why no more may be used in the periods that ``now`` lies in; what happened in others is not of their usage."""
    for threshold in _thresholds(book, tenant_id, metric, subject):
        if threshold.action is not Action.BLOCK:
            continue
        calendar, level = _level(book, usage, threshold, tenant_id, metric, now)
        limit = _limit(book, threshold, tenant_id)
        if limit is not None and reached(level.used, limit):
            who = f"{threshold.subject!r} of tenant {tenant_id!r}" if threshold.subject else f"tenant {tenant_id!r}"
            until = (
                f"counting begins anew at {level.end:%Y-%m-%dT%H:%M:%SZ}, or" if level.end else "it is refused until"
            )
            yield Refusal(
                *calendar.bounds(now),
                f"{who} used {format_nano(level.used)} of {format_nano(limit)} {metric.unit or metric.key} "
                f"(threshold {threshold.id!r}); {until} raise the limit",
            )


def _thresholds(book: Book, tenant_id: str, metric: Metric, subject: str) -> Iterator[Threshold]:
    """Those of the subject, and those of the tenant as a whole, which hold for every subject."""
    if not counts_in_stream(metric.aggregation):
        return
    if subject:
        yield from book.thresholds(tenant_id, metric.key, subject)
    yield from book.thresholds(tenant_id, metric.key)


def _level(
    book: Book, usage: Usage, entry: Quota | Threshold, tenant_id: str, metric: Metric, now: datetime
) -> tuple[Calendar, _Level]:
    """What a quota or threshold is held against."""
    calendar = book.calendar(entry, tenant_id)
    start, end = calendar.bounds(now)
    quota = book.quota(tenant_id, metric.key, entry.subject)
    changes = [found.changed_at for found in (entry, quota, metric, book.tenant(tenant_id)) if found is not None]
    changed_at = max((change for change in changes if change is not None), default=None)
    key = CounterKey(tenant_id, metric.key, entry.subject, str(calendar), start)
    found = usage.find(key, end, changed_at)
    if found is None and metric.aggregation is Aggregation.TIME_WEIGHTED:  # for a moment: its level goes on
        before, _end = calendar.bounds(start - _MOMENT)
        found = usage.find(key._replace(start=before), start, changed_at)
    found = found or Found(_NOTHING, True)
    return calendar, _Level(value_of(metric.aggregation, found.parts), found.complete, *_shown(start, end))


def _shown(start: datetime, end: datetime) -> tuple[datetime | None, datetime | None]:
    """A period's bounds as callers see them: what never ends never began."""
    return (None, None) if end == LAST else (start, end)


def _limit(book: Book, threshold: Threshold, tenant_id: str) -> int | None:
    if threshold.amount is not None:
        return _nano(threshold.amount)
    quota = book.quota(tenant_id, threshold.metric, threshold.subject)
    return None if quota is None else _nano(quota.included)


def _state(threshold: Threshold, level: _Level, limit: int | None) -> ThresholdStatus:
    return ThresholdStatus(
        id=threshold.id,
        subject=threshold.subject,
        action=threshold.action,
        used=None if limit is None else format_nano(level.used),
        limit=None if limit is None else format_nano(limit),
        percent=None if limit is None else percent(level.used, limit),
        reached=limit is not None and reached(level.used, limit),
        resets_at=level.end,
    )


def _nano(amount: Decimal) -> int:
    return exact_nano(format(amount, "f"))
