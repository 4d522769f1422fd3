"""Deliveries under way: each a task, those of one target bounded among themselves and independent of all others."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

from meterline_schemas.catalog import Webhook
from meterline_schemas.delivery import Delivery, State
from meterline_sinks.notifier import audience, metrics
from meterline_sinks.notifier.index import Key, Open
from meterline_sinks.notifier.outcome import Outcome, Policy, after

log = logging.getLogger(__name__)

_FULL_SECONDS: Final = 0.1

Save = Callable[[Open], bool]


class WebhookSender(Protocol):
    async def attempt(self, delivery: Delivery, webhook: Webhook, at: datetime) -> Outcome: ...


class MailSender(Protocol):
    async def attempt(self, delivery: Delivery, address: str) -> Outcome: ...


class Dispatcher:
    """Carries deliveries to their end. Lives in one event loop.

    A delivery waits until it is due, then for one of the ``concurrency`` places at its target. Behind each attempt
    ``save`` writes down how it stands; where that returns False it is asked again.
    """

    def __init__(
        self,
        webhooks: WebhookSender,
        mailboxes: MailSender,
        find: Callable[[str], Webhook | None],
        save: Save,
        policy: Policy,
        concurrency: int,
        before_save: Callable[[], None] = lambda: None,
    ) -> None:
        self._webhooks = webhooks
        self._mailboxes = mailboxes
        self._find = find
        self._save = save
        self._policy = policy
        self._concurrency = concurrency
        self._before_save = before_save
        self._places: dict[str, asyncio.Semaphore] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._attempts: set[Key] = set()
        self._finished = False

    def start(self, opened: Iterable[Open]) -> None:
        """Begin or go on with these; one that is under way is begun anew."""
        for each in () if self._finished else opened:
            key = each.delivery.key
            old = self._tasks.pop(key, None)
            if old is not None:
                old.cancel()
            self._tasks[key] = asyncio.create_task(self._walk(each))
            self._tasks[key].add_done_callback(partial(self._ended, key))
        metrics.OPEN.set(len(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def drop(self) -> None:
        """Stop all of them where they are: somebody else goes on, or this process when it has read the ledger."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        metrics.OPEN.set(0)

    async def finish(self, seconds: float) -> None:
        """Let attempts that are under way end, for ``seconds`` at most, begin no more, and stop."""
        self._finished = True
        tasks = list(self._tasks.values())
        under_way = [task for key, task in self._tasks.items() if key in self._attempts]
        for key, task in self._tasks.items():
            if key not in self._attempts:
                task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)
        self.drop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
            metrics.OPEN.set(len(self._tasks))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery of %s to %s ended in a fault", *key, exc_info=error)

    async def _walk(self, opened: Open) -> None:
        partition, delivery = opened
        while not delivery.state.final:
            if delivery.next_at is not None:
                await asyncio.sleep((delivery.next_at - datetime.now(UTC)).total_seconds())
            place = self._places.setdefault(delivery.target, asyncio.Semaphore(self._concurrency))
            async with place:
                self._attempts.add(delivery.key)
                try:
                    delivery = await self._attempt(delivery, partition)
                finally:
                    self._attempts.discard(delivery.key)

    async def _attempt(self, delivery: Delivery, partition: int) -> Delivery:
        began = datetime.now(UTC)
        kind, _, name = delivery.target.partition("/")
        outcome = await self._outcome(kind, name, delivery, began)
        done = after(delivery, outcome, began, datetime.now(UTC), self._policy, random.random())
        self._before_save()
        while not self._save(Open(partition, done)):
            await asyncio.sleep(_FULL_SECONDS)
        metrics.ATTEMPTS.labels(kind, done.state.value).inc()
        if done.state is State.DELIVERED and not delivery.attempts:
            metrics.DELAY.labels(kind).observe(_age(done))
        if done.state is State.DELIVERED:
            log.info("%s is delivered to %s", done.notification_id, done.target)
        elif done.state is State.FAILED or not delivery.attempts:
            level = logging.ERROR if done.state is State.FAILED else logging.WARNING
            log.log(level, "%s to %s: %s", done.notification_id, done.target, done.attempts[-1].error)
        return done

    async def _outcome(self, kind: str, name: str, delivery: Delivery, at: datetime) -> Outcome:
        """Nothing that a receiver answers or an entry says ends a delivery without an outcome."""
        try:
            return await self._send(kind, name, delivery, at)
        except Exception as fault:
            if not delivery.tries:
                log.exception("%s to %s: a fault of the notifier; please report it", *delivery.key)
            return Outcome(error=f"a fault of the notifier: {type(fault).__name__}: {fault}")

    async def _send(self, kind: str, name: str, delivery: Delivery, at: datetime) -> Outcome:
        match kind:
            case "webhook":
                webhook = self._find(name)
                if webhook is None:
                    return Outcome(error="there is no such webhook: it was deleted, or never defined", final=True)
                if not webhook.enabled:
                    return Outcome(error="the webhook is disabled; enable it, then resend", final=True)
                return await self._webhooks.attempt(delivery, webhook, at)
            case "email":
                return await self._mailboxes.attempt(delivery, name)
            case _:
                return Outcome(error=f"{kind!r} is no kind of target that this version knows", final=True)


def _age(delivery: Delivery) -> float:
    """Seconds since what is told of happened."""
    timestamp = audience.read(bytes(delivery.notification)).timestamp
    return max(0.0, (datetime.now(UTC) - timestamp).total_seconds())
