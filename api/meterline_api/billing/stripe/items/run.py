"""A run of items: what billing.invoices has is taken over, what is open is sent, and its outcome written.

1. each new document becomes items in the ledger, and how far ``billing.invoices`` was read with them, together
2. what may be sent becomes intents, some hundred documents at a time, committed before any call
3. each is sent, and tried again with a growing pause where Stripe has no time or gives no answer
4. outcomes are committed; what got no answer stays an intent, for step 2 of the next run

Killed at any step, or run twice at once, each line is one item: it goes out under one key, and where that may be
forgotten it is looked up first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meterline_api.billing.stripe.answers import Verdict
from meterline_api.billing.stripe.failpoint import Failpoint
from meterline_api.billing.stripe.items.ledger import ItemLedger
from meterline_api.billing.stripe.items.plan import Choices, Metered
from meterline_api.billing.stripe.items.sending import ItemSender
from meterline_api.billing.stripe.pusher import MOST_PROBLEMS, Beat, nobody_waits
from meterline_schemas.billing.item import Item, ItemKind, Items, ItemState

_SWEEPS: Final = 6  # over what is open: one thing may have to be there before the next

Customer = Callable[[str], str | None]
"""The customer at Stripe that a tenant is now."""


@dataclass
class Told:
    """What a run came to. ``documents`` are new; of items ``amounts`` is the sum of what Stripe took, by currency.

    ``open``: no answer, the next run settles them; of a dry run what it would send, in ``lines``. ``stopped``: why the
    run ended before its end.
    """

    documents: int = 0
    delivered: int = 0
    refused: int = 0
    left: int = 0
    open: int = 0
    lines: list[tuple[Items, Item]] = field(default_factory=list)
    amounts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    stopped: str | None = None

    def add(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class ItemRun:
    """``clock`` is that of the wall, in UTC. ``beat`` is awaited between batches and may raise. One run at a time."""

    def __init__(
        self,
        ledger: ItemLedger,
        sender: ItemSender,
        choices: Choices,
        clock: Callable[[], datetime],
        batch: int,
        failpoint: Failpoint,
        beat: Beat = nobody_waits,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._choices = choices
        self._clock = clock
        self._batch = batch
        self._failpoint = failpoint
        self._beat = beat

    async def run(self, customer: Customer, metered: Metered, *, dry_run: bool = False) -> Told:
        """Take over and send. ``dry_run``: list what is open, and what would be new.

        Raises:
            UnavailableError: Kafka does not answer.
            ItemsError: a record cannot be read.
        """
        told = Told()
        if dry_run:
            await asyncio.to_thread(self._ledger.read)
            new = await asyncio.to_thread(self._ledger.new, self._choices, metered, self._clock())
            told.documents = len(new)
            for items in new:
                self._name_left(items, told)
            self._list([items for items in new if items.is_open], told)
            after = ""
            while found := await asyncio.to_thread(self._ledger.copy.open, after, self._batch):
                after = found[-1].number
                self._list(found, told)
            return told
        await asyncio.to_thread(self._ledger.catch_up)
        while (taken := await asyncio.to_thread(self._take_over, metered)) is not None:
            await self._beat()
            told.documents += len(taken)
            for items in taken:
                self._name_left(items, told)
        unanswered = set[str]()
        for _ in range(_SWEEPS):
            if not await self._sweep(customer, unanswered, told) or told.stopped is not None:
                break
        return told

    def _take_over(self, metered: Metered) -> list[Items] | None:
        return self._ledger.take_over(self._choices, metered, self._clock())

    async def _sweep(self, customer: Customer, unanswered: set[str], told: Told) -> bool:
        """Send what may be sent now; whether that may have made way for more."""
        after, moved = "", False
        problems = list[str]()
        while told.stopped is None:
            found = await asyncio.to_thread(self._ledger.copy.open, after, self._batch)
            if not found:
                break
            after = found[-1].number
            wanted = [items for items in found if items.number not in unanswered]
            self._failpoint.reach("before_intent")
            read_at = self._clock()
            intended = await asyncio.to_thread(self._ledger.intend, wanted, customer, read_at)
            self._failpoint.reach("after_intent")
            problems += intended.problems
            moved = await self._send(intended.standing, read_at, unanswered, told) or moved
        if not moved:
            for problem in problems:
                told.add(problem)
        return moved

    async def _send(self, documents: Sequence[Items], read_at: datetime, unanswered: set[str], told: Told) -> bool:
        await self._beat()
        sent = await self._sender.send(documents, read_at)
        told.stopped = sent.stopped
        before = {items.number: items for items in documents}
        moved = False
        for outcome in sent.outcomes:
            answer = sent.answers[outcome.number]
            if answer.verdict in (Verdict.AGAIN, Verdict.STOP):
                unanswered.add(outcome.number)
                told.open += sum(item.state is ItemState.INTENT for item in outcome.items)
                told.add(f"{_whose(outcome)}: Stripe did not answer: {answer.detail} The next run settles it")
            for item in outcome.items:
                was = before[outcome.number].find(*item.place)
                if was is not None and item != was:
                    moved = True
                    self._count(outcome, item, told)
        self._failpoint.reach("before_outcome")
        if moved:
            await asyncio.to_thread(self._ledger.settle, sent.outcomes)
        return moved

    @staticmethod
    def _count(items: Items, item: Item, told: Told) -> None:
        match item.state:
            case ItemState.DELIVERED if item.kind is ItemKind.ITEM:
                told.delivered += 1
                told.amounts[items.currency] += item.amount
            case ItemState.REFUSED:
                told.refused += 1
                told.add(f"{_whose(items)}, {_what(item)}: Stripe refused it: {item.detail}")
            case _:
                pass

    @staticmethod
    def _name_left(items: Items, told: Told) -> None:
        for item in items.items:
            if item.state is ItemState.LEFT:
                told.left += 1
                told.add(f"{_whose(items)}, {_what(item)} is not sent: {item.detail}")

    @staticmethod
    def _list(documents: Sequence[Items], told: Told) -> None:
        for items in documents:
            for item in items.items:
                if item.kind is ItemKind.ITEM and item.state not in (ItemState.DELIVERED, ItemState.LEFT):
                    told.open += 1
                    told.amounts[items.currency] += item.amount
                    if len(told.lines) < MOST_PROBLEMS:
                        told.lines.append((items, item))


def _whose(items: Items) -> str:
    return f"tenant {items.tenant_id!r}, {items.number}"


def _what(item: Item) -> str:
    return f"line {item.line} ({item.description})" if item.kind is ItemKind.ITEM else f"its {item.kind} at Stripe"
