"""Which days of whom Stripe is to be told now: totals beside what the ledger says of them. Pure.

Both come in the order of tenant, metric and day, and are walked once, side by side: memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from meterline_api.billing.stripe.days import DayTotal, value_of
from meterline_api.billing.stripe.errors import DayValueError
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.catalog.stripe_meter import StripeMeter

OLDEST: Final = timedelta(days=35)
"""Stripe takes no older timestamp."""
NEARLY: Final = timedelta(days=31)
"""From a day's end on: a month that is pushed on the first of the next one has no such day, at any time of that day."""
_NOON: Final = time(12, tzinfo=UTC)

Key = tuple[str, str, date]  # tenant, metric, day
Customer = Callable[[str], str | None]
"""The customer at Stripe that a tenant is; None: it is not billed by meters, and nothing of it is pushed."""


class Reason(StrEnum):
    """Why a push is due. Closed. ``again``: Stripe refused the last one."""

    NEW = "new"
    CHANGED = "changed"
    AGAIN = "again"


class Trouble(StrEnum):
    """What needs a person. Closed."""

    NO_METER = "no_meter"
    TOO_OLD = "too_old"
    NEARLY_TOO_OLD = "nearly_too_old"
    NOT_TAKEN = "not_taken"
    MOVED = "moved"
    REFUSED = "refused"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Problem:
    """Of one tenant, in a sentence. ``too_old`` days are never re-dated: they go on as an invoice item."""

    tenant_id: str
    metric: str
    day: date
    trouble: Trouble
    detail: str

    def __str__(self) -> str:
        return f"tenant {self.tenant_id!r}, {self.metric}, {self.day}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Due:
    """An intent that is not written yet."""

    push: Push
    reason: Reason


Step = Due | Problem


def key_of(push: Push) -> Key:
    return push.tenant_id, push.metric, push.day


def timestamp(push: Push) -> datetime:
    """When its usage was, as Stripe is told: strictly inside the day, and the same whenever it is sent.

    Noon or, on the day itself before noon, when the intent was made.
    """
    noon = datetime.combine(push.day, _NOON)
    return min(noon, max(push.at, noon - timedelta(hours=12) + timedelta(seconds=1)))


def too_old(day: date, now: datetime) -> bool:
    """Whether Stripe takes nothing of a day any more."""
    return datetime.combine(day, _NOON) < now - OLDEST


def nearly_too_old(day: date, now: datetime) -> bool:
    """Whether Stripe takes a day for three and a half days more at most. So from a midnight on, not from an hour."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) <= now - NEARLY


def due(
    totals: Iterable[DayTotal],
    ledger: Iterable[Push],
    meters: Mapping[str, StripeMeter],
    customer: Customer,
    now: datetime,
) -> Iterator[Step]:
    """What is to be pushed, as intents, and what cannot be; in the order of the totals.

    ``ledger`` has the newest push of each customer, meter and day: those of the totals at least. A day whose push has
    no outcome yet gets no other: that one is settled first. A day that was pushed to one customer or meter is never
    pushed to another one.
    """
    rows = iter(ledger)
    row = next(rows, None)
    today = now.date()
    for total in totals:
        key = total[:3]
        found: list[Push] = []
        while row is not None and (of := key_of(row)) <= key:
            if of == key:
                found.append(row)
            row = next(rows, None)
        meter, who = meters.get(total.metric), customer(total.tenant_id)
        if meter is not None and who is not None and total.day <= today:
            yield from _steps(total, found, meter, who, now)


def _steps(total: DayTotal, found: list[Push], meter: StripeMeter, customer: str, now: datetime) -> Iterator[Step]:
    try:
        value = value_of(total, meter)
    except DayValueError as error:
        yield _problem(total, Trouble.NOT_TAKEN, str(error))
        return
    last = next((push for push in found if (push.customer, push.meter) == (customer, meter.meter)), None)
    if last is None and value == 0 and not found:
        return
    elsewhere = next((push for push in found if push is not last and _counts(push)), None)
    if elsewhere is not None:
        if elsewhere.value != value:
            where = f"customer {elsewhere.customer}, meter {elsewhere.meter}"
            yield _problem(
                total,
                Trouble.MOVED,
                f"is {value} now, and {elsewhere.value} was pushed to {where}: what the tenant or metric is mapped to "
                "was changed since, and a day is never pushed twice; put it right by an invoice item",
            )
        return
    if last is not None and (
        last.state is PushState.INTENT or (last.state is PushState.DELIVERED and last.value == value)
    ):
        return
    if too_old(total.day, now):
        yield _problem(
            total,
            Trouble.TOO_OLD,
            f"is {value} now, Stripe has {last.value if last is not None else 'nothing'}, and takes nothing that is "
            "older than 35 days: put it right by an invoice item",
        )
        return
    if nearly_too_old(total.day, now):
        yield _problem(
            total,
            Trouble.NEARLY_TOO_OLD,
            "is pushed only now, and Stripe takes nothing that is older than 35 days: see that it is delivered",
        )
    reason, revision = Reason.NEW, 1
    if last is not None:
        reason = Reason.CHANGED if last.state is PushState.DELIVERED else Reason.AGAIN
        revision = last.revision + 1
    intent = Push(
        customer, meter.meter, total.day, revision, value, total.tenant_id, total.metric, PushState.INTENT, now
    )
    yield Due(intent, reason)


def _counts(push: Push) -> bool:
    """Whether it is, or may be, something at Stripe."""
    return push.value != 0 and push.state is not PushState.REFUSED


def _problem(total: DayTotal, trouble: Trouble, detail: str) -> Problem:
    return Problem(total.tenant_id, total.metric, total.day, trouble, detail)
