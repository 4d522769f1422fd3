"""Whether Stripe has, of each customer, meter and day, what the ledger says and the usage comes to. Pure core first.

What Stripe has too little of is told it again, as a new revision, once its summaries had the time to show it. What it
has too much of is never put right by itself: somebody else may have told it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import groupby, islice
from typing import Final, Protocol

from meterline_api.billing.stripe.answers import Answer, Verdict
from meterline_api.billing.stripe.days import DayTotal, beyond_included, value_of
from meterline_api.billing.stripe.errors import DayValueError
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.plan import too_old
from meterline_api.billing.stripe.pusher import MOST_PROBLEMS, Pusher, Told
from meterline_api.billing.stripe.sending import Sender
from meterline_api.billing.stripe.terms import Terms
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.catalog.stripe_meter import StripeMeter

_GROUPS: Final = 200  # tenants x metrics that are looked at together

Place = tuple[str, str]  # customer and meter at Stripe
Summaries = Mapping[Place, Mapping[date, int]]


class Kind(StrEnum):
    """Closed. ``stripe_less``, ``stripe_more``: than the ledger says that it took. ``not_told``: the ledger has no
    delivered push of the day's total, as usage changed since or Stripe refused it. ``open``: a push without outcome.
    """

    STRIPE_LESS = "stripe_less"
    STRIPE_MORE = "stripe_more"
    NOT_TOLD = "not_told"
    OPEN = "open"


@dataclass(frozen=True)
class Difference:
    """``usage`` is the day's total as a value, None where it is none; ``ledger`` what was delivered, ``stripe`` what
    Stripe shows.
    """

    tenant_id: str
    metric: str
    day: date
    customer: str
    meter: str
    kind: Kind
    usage: int | None
    ledger: int
    stripe: int

    def __str__(self) -> str:
        shown = "no value that Stripe takes" if self.usage is None else self.usage
        return (
            f"tenant {self.tenant_id!r}, {self.metric}, {self.day}: usage {shown}, ledger {self.ledger}, "
            f"Stripe {self.stripe} (customer {self.customer}, meter {self.meter})"
        )


@dataclass
class Compared:
    """``days`` were compared. ``repeated`` is what was sent again; ``unknown`` what Stripe did not answer for."""

    days: int = 0
    kinds: dict[Kind, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    repeated: Told = field(default_factory=Told)

    def add(self, difference: Difference) -> None:
        self.kinds[difference.kind] = self.kinds.get(difference.kind, 0) + 1
        if len(self.differences) < MOST_PROBLEMS:
            self.differences.append(difference)


def differences(
    totals: Iterable[DayTotal], pushes: Iterable[Push], stripe: Summaries, meter: StripeMeter, customer: str | None
) -> Iterator[Difference]:
    """Of one tenant and metric. ``customer`` is the one that it is pushed to; None: it is not.

    ``stripe`` has every customer and meter of them. A day that several places have is compared as their sum.
    """
    usage: dict[date, int | None] = {}
    found: dict[date, list[Push]] = {}
    who = what = ""
    for total in totals:
        who, what = total.tenant_id, total.metric
        try:
            usage[total.day] = value_of(total, meter)
        except DayValueError:
            usage[total.day] = None
    for push in pushes:
        who, what = push.tenant_id, push.metric
        found.setdefault(push.day, []).append(push)
    days = usage.keys() | found.keys() | {day for of in stripe.values() for day in of}
    for day in sorted(days):
        own = found.get(day, [])
        used = usage.get(day, 0)
        told = {(push.customer, push.meter): push for push in own}
        for place in sorted({*told, *(place for place, of in stripe.items() if of.get(day))}):
            last, has = told.get(place), stripe.get(place, {}).get(day, 0)
            delivered = last.value if last is not None and last.state is PushState.DELIVERED else 0
            if last is not None and last.state is not PushState.DELIVERED:
                kind = Kind.OPEN if last.state is PushState.INTENT else None
            else:
                kind = None if has == delivered else Kind.STRIPE_LESS if has < delivered else Kind.STRIPE_MORE
            if kind is not None:
                yield Difference(who, what, day, *place, kind, used, delivered, has)
        sum_ = sum(push.value for push in own if push.state is PushState.DELIVERED)
        if used != sum_ and customer is not None and all(push.state is not PushState.INTENT for push in own):
            place = (customer, meter.meter)
            yield Difference(who, what, day, *place, Kind.NOT_TOLD, used, sum_, stripe.get(place, {}).get(day, 0))


class Source(Protocol):
    def summaries(self, customer: str, meter: str, start: date, end: date) -> dict[date, int] | Answer: ...


class Reconciler:
    """Of the days in ``[start, end)``; ``clock`` is that of the wall, in UTC."""

    def __init__(
        self,
        ledger: Ledger,
        source: Source,
        sender: Sender,
        pusher: Pusher,
        clock: Callable[[], datetime],
        propagation: timedelta,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._sender = sender
        self._pusher = pusher
        self._clock = clock
        self._propagation = propagation

    async def reconcile(
        self, totals: Iterable[DayTotal], terms: Terms, start: date, end: date, *, dry_run: bool = False
    ) -> Compared:
        """Compare, and send again what Stripe has too little of. ``totals`` are all of these days, in order.

        Where a meter gets the overage alone, they begin with the first day of a month. ``dry_run``: compare only.

        Raises:
            UnavailableError: Kafka does not answer, or what ``totals`` come from.
            LedgerError
        """
        compared = Compared()
        await asyncio.to_thread(self._ledger.read)
        groups = self._groups(totals, terms, start, end)
        while chunk := await asyncio.to_thread(lambda: list(islice(groups, _GROUPS))):
            await self._pusher.beat()
            results = await asyncio.gather(*(self._compare(*each, terms, start, end, compared) for each in chunk))
            lacking = [push for found in results for push in found]
            if lacking and not dry_run:
                await self._pusher.repeat(lacking, terms, compared.repeated)
        return compared

    def _groups(
        self, totals: Iterable[DayTotal], terms: Terms, start: date, end: date
    ) -> Iterator[tuple[list[DayTotal], list[Push]]]:
        """By tenant and metric, both walked side by side."""
        used = (total for total in beyond_included(totals, terms.meters, terms.included) if start <= total.day < end)
        pushed = (push for push in self._ledger.index.since(start) if push.day < end)
        both: Iterator[DayTotal | Push] = heapq.merge(used, pushed, key=_whose)
        for _key, group in groupby(both, key=_whose):
            found = list(group)
            yield (
                [each for each in found if isinstance(each, DayTotal)],
                [each for each in found if isinstance(each, Push)],
            )

    async def _compare(
        self, totals: list[DayTotal], pushes: list[Push], terms: Terms, start: date, end: date, compared: Compared
    ) -> list[Push]:
        """The pushes that Stripe lacks."""
        tenant_id, metric = _whose((totals or pushes)[0])
        meter, customer = terms.meters.get(metric), terms.customer(tenant_id)
        places = {(push.customer, push.meter) for push in pushes}
        if meter is None or (customer is None and not places):
            return []
        if customer is not None:
            places.add((customer, meter.meter))
        stripe: dict[Place, dict[date, int]] = {}
        for place in sorted(places):
            found = await self._sender.ask(partial(self._source.summaries, *place, start, end))
            if isinstance(found, Answer):
                said = "refused" if found.verdict is Verdict.REFUSED else "did not answer"
                compared.unknown.append(f"customer {place[0]}, meter {place[1]}: Stripe {said}: {found.detail}")
                return []
            stripe[place] = found
        newest = {(push.customer, push.meter, push.day): push for push in pushes}
        compared.days += len({total.day for total in totals} | {push.day for push in pushes})
        lacking: list[Push] = []
        now = self._clock()
        for difference in differences(totals, pushes, stripe, meter, customer):
            if difference.kind is Kind.STRIPE_LESS:
                push = newest[difference.customer, difference.meter, difference.day]
                if now - push.at < self._propagation:
                    continue  # it may not be shown yet
                if not too_old(push.day, now) and push.meter in terms.by_id:
                    lacking.append(push)
            compared.add(difference)
        return lacking


def _whose(each: DayTotal | Push) -> tuple[str, str]:
    return each.tenant_id, each.metric
