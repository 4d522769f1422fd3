"""Pushing days: what is open is settled, what is due is written, sent, and its outcome written.

1. intents that have no outcome, of whoever was interrupted, are sent as they are: same identifier, same value
2. what is due by the totals and the ledger becomes intents, some hundred at a time, committed before any call
3. each is sent, and tried again with a growing pause where Stripe has no time or gives no answer
4. outcomes are committed; what got no answer stays an intent, for step 1 of the next run

Killed at any step, or run twice at once, it ends at the same values: Stripe takes an identifier once, and an intent is
never followed by another one of its day before it has an outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import msgspec

from meterline_api.billing.stripe.answers import Verdict
from meterline_api.billing.stripe.days import DayTotal, beyond_included
from meterline_api.billing.stripe.failpoint import Failpoint
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.plan import Due, Problem, Reason, Step, Trouble, due, key_of, too_old
from meterline_api.billing.stripe.sending import Sender
from meterline_api.billing.stripe.terms import Terms
from meterline_schemas.billing.push import Push, PushState

MOST_PROBLEMS: Final = 1000  # that are kept in words; the others are counted
_CHUNK: Final = 5000  # totals that are looked up in the ledger together

Beat = Callable[[], Awaitable[None]]


@dataclass
class Told:
    """What a run came to: how many pushes were due and why, what became of them, and what needs a person.

    ``open``: no answer, the next run settles them; of a dry run those that it would settle. ``overtaken``: another
    process was first. ``stopped``: why the run ended before its end.
    """

    due: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    settled: int = 0
    delivered: int = 0
    refused: int = 0
    open: int = 0
    overtaken: int = 0
    troubles: dict[Trouble, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    stopped: str | None = None

    def add(self, problem: Problem) -> None:
        self.troubles[problem.trouble] = self.troubles.get(problem.trouble, 0) + 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


async def nobody_waits() -> None: ...


class Pusher:
    """``clock`` is that of the wall, in UTC. ``beat`` is awaited between batches and may raise. One run at a time."""

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        clock: Callable[[], datetime],
        batch: int,
        failpoint: Failpoint,
        beat: Beat = nobody_waits,
    ) -> None:
        self.beat = beat
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._batch = batch
        self._failpoint = failpoint

    async def push(self, totals: Iterable[DayTotal], terms: Terms, *, dry_run: bool = False) -> Told:
        """Push what ``totals`` say, which come by tenant, metric and day. ``dry_run``: count what would be due.

        Raises:
            UnavailableError: Kafka does not answer, or what ``totals`` come from.
            LedgerError
        """
        told = Told()
        if dry_run:
            await asyncio.to_thread(self._ledger.read)
            told.open = await asyncio.to_thread(self._ledger.index.count, PushState.INTENT)
        else:
            await self._settle_open(terms, told)
        steps = self._steps(totals, terms, told)
        while told.stopped is None:
            batch = await asyncio.to_thread(lambda: [step.push for step in islice(steps, self._batch)])
            if not batch:
                break
            if not dry_run:
                await self._carry(batch, terms, told)
        return told

    async def retry(self, terms: Terms, *, dry_run: bool = False) -> Told:
        """Settle what is open, and send what Stripe refused once more, as the next revision of its day.

        ``dry_run``: count what would be settled and sent. Raises what ``push`` raises.
        """
        told = Told()
        if dry_run:
            await asyncio.to_thread(self._ledger.read)
            told.open = await asyncio.to_thread(self._ledger.index.count, PushState.INTENT)
        else:
            await self._settle_open(terms, told)
        last: Push | None = None
        while told.stopped is None:
            found = await asyncio.to_thread(self._ledger.index.unsettled, PushState.REFUSED, last, self._batch)
            if not found:
                break
            last = found[-1]
            again = list(self._again(found, terms, told))
            if not dry_run:
                await self._carry(again, terms, told)
        return told

    async def repeat(self, pushes: Sequence[Push], terms: Terms, told: Told) -> None:
        """Send delivered pushes once more, each as the next revision of its day."""
        for start in range(0, len(pushes), self._batch):
            if told.stopped is None:
                batch = pushes[start : start + self._batch]
                await self._carry([_next(push, self._clock()) for push in batch], terms, told)

    def _steps(self, totals: Iterable[DayTotal], terms: Terms, told: Told) -> Iterator[Due]:
        now = self._clock()
        pushed = beyond_included(totals, terms.meters, terms.included)
        while chunk := list(islice(pushed, _CHUNK)):
            rows = self._ledger.index.of(total[:3] for total in chunk)
            step: Step
            for step in due(chunk, rows, terms.meters, terms.customer, now):
                if isinstance(step, Problem):
                    told.add(step)
                else:
                    told.due[step.reason] += 1
                    yield step

    def _again(self, refused: Iterable[Push], terms: Terms, told: Told) -> Iterator[Push]:
        now = self._clock()
        for push in refused:
            if terms.customer(push.tenant_id) != push.customer or push.meter not in terms.by_id:
                continue  # the plan sees what became of it
            if too_old(push.day, now):
                told.add(_problem(push, Trouble.TOO_OLD, f"Stripe refused {push.value}: {push.detail}"))
                continue
            told.due[Reason.AGAIN] += 1
            yield _next(push, now)

    async def _settle_open(self, terms: Terms, told: Told) -> None:
        read_at = self._clock()
        await asyncio.to_thread(self._ledger.catch_up)
        last: Push | None = None
        while told.stopped is None:
            found = await asyncio.to_thread(self._ledger.index.unsettled, PushState.INTENT, last, self._batch)
            if not found:
                return
            last = found[-1]
            told.settled += len(found)
            sendable: list[Push] = []
            dead: list[Push] = []
            for push in found:
                if push.meter not in terms.by_id:
                    told.add(
                        _problem(push, Trouble.NO_METER, f"was being pushed to meter {push.meter}, which no metric has")
                    )
                elif too_old(push.day, self._clock()):
                    dead.append(push)
                else:
                    sendable.append(push)
            await self._send(sendable, terms, told, read_at, dead)
            read_at = self._clock()
            await asyncio.to_thread(self._ledger.read)

    async def _carry(self, intents: Sequence[Push], terms: Terms, told: Told) -> None:
        if not intents:
            return
        self._failpoint.reach("before_intent")
        read_at = self._clock()
        intended = await asyncio.to_thread(self._ledger.intend, intents)
        self._failpoint.reach("after_intent")
        told.overtaken += len(intended.foreign)
        tenants = {push.key: push.tenant_id for push in intents}
        for push in intended.foreign:
            if push.tenant_id != tenants[push.key]:
                detail = f"customer {push.customer} has this day of tenant {push.tenant_id!r}: a customer is one tenant"
                told.add(Problem(tenants[push.key], push.metric, push.day, Trouble.MOVED, detail))
        await self._send(intended.standing, terms, told, read_at)

    async def _send(
        self, intents: Sequence[Push], terms: Terms, told: Told, read_at: datetime, dead: Sequence[Push] = ()
    ) -> None:
        await self.beat()
        sending = await self._sender.send(intents, terms.by_id, read_at)
        now = self._clock()
        outcomes: list[Push] = []
        for push, answer in sending.sent:
            if answer.verdict is Verdict.DELIVERED:
                told.delivered += 1
                outcomes.append(_outcome(push, PushState.DELIVERED, now, answer.detail, answer.request_id))
            elif answer.verdict is Verdict.REFUSED:
                told.refused += 1
                told.add(_problem(push, Trouble.REFUSED, f"Stripe refused {push.value}: {answer.detail}"))
                outcomes.append(_outcome(push, PushState.REFUSED, now, answer.detail, answer.request_id))
        for push in dead:
            detail = "it is older than the 35 days that Stripe takes; whether an earlier try got there reconcile tells"
            told.add(_problem(push, Trouble.TOO_OLD, f"{push.value} was not confirmed in time: {detail}"))
            outcomes.append(_outcome(push, PushState.REFUSED, now, detail, ""))
        told.open += len(intents) + len(dead) - len(outcomes)
        if sending.stopped is not None:
            told.stopped = sending.stopped
        self._failpoint.reach("before_outcome")
        if outcomes:
            await asyncio.to_thread(self._ledger.settle, outcomes)


def _next(push: Push, now: datetime) -> Push:
    """The next revision, of the same value."""
    return msgspec.structs.replace(
        push, revision=push.revision + 1, state=PushState.INTENT, at=now, detail="", request_id=""
    )


def _outcome(push: Push, state: PushState, now: datetime, detail: str, request_id: str) -> Push:
    return msgspec.structs.replace(push, state=state, at=now, detail=detail, request_id=request_id)


def _problem(push: Push, trouble: Trouble, detail: str) -> Problem:
    return Problem(*key_of(push), trouble, detail)
