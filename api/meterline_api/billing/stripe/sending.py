"""Sending intents: at most so many at once and a second, of one customer and meter one after the other."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from meterline_api.billing.stripe.answers import Answer, Verdict
from meterline_api.billing.stripe.failpoint import Failpoint
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_schemas.billing.push import Push
from meterline_schemas.catalog.stripe_meter import StripeMeter

_FIRST_WAIT: Final = 0.25
_MOST_UNANSWERED: Final = 25  # one after the other, each after all of its attempts: Stripe is away

Found = TypeVar("Found")
Thing = TypeVar("Thing")


@dataclass
class Sending(Generic[Thing]):
    """What was sent, and Stripe's answers. ``stopped``: why the others were not."""

    sent: list[tuple[Thing, Answer]] = field(default_factory=list)
    stopped: str | None = None


class Gateway(Protocol):
    def push(self, push: Push, meter: StripeMeter) -> Answer:
        """Tell Stripe, once. Raises nothing that an answer can say."""


class Pace:
    """``rate`` turns a second, evenly."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._gap
        if at > now:
            await asyncio.sleep(at - now)


class Sender:
    """``clock`` is that of the wall: it goes on where a machine sleeps."""

    def __init__(
        self, gateway: Gateway, settings: StripeSettings, clock: Callable[[], datetime], failpoint: Failpoint
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self._failpoint = failpoint
        self._pace = Pace(settings.rate)
        self._threads = ThreadPoolExecutor(settings.in_flight, thread_name_prefix="stripe")

    async def send(self, pushes: Iterable[Push], meters: Mapping[str, StripeMeter], read_at: datetime) -> Sending[Push]:
        """Send committed intents; ``meters`` are by their ids at Stripe.

        Of a customer and meter none is sent after one that got no answer. Nothing is sent on a ledger that was read,
        at ``read_at``, too long ago: a process that slept may have been overtaken.
        """
        queues: dict[tuple[str, str], list[Push]] = defaultdict(list)
        for push in pushes:
            queues[push.customer, push.meter].append(push)
        return await self.each(
            queues.values(), lambda push: self.act(lambda: self._gateway.push(push, meters[push.meter]), read_at)
        )

    async def each(
        self, queues: Collection[Sequence[Thing]], one: Callable[[Thing], Awaitable[Answer]]
    ) -> Sending[Thing]:
        """Send what is in the queues, of each queue one after the other, and nothing after one without an answer."""
        waiting = iter(queues)
        sending = Sending[Thing]()
        unanswered = 0

        async def worker() -> None:
            nonlocal unanswered
            for queue in waiting:
                for thing in queue:
                    if sending.stopped is not None:
                        return
                    answer = await one(thing)
                    sending.sent.append((thing, answer))
                    unanswered = unanswered + 1 if answer.verdict is Verdict.AGAIN else 0
                    if answer.verdict is Verdict.STOP or unanswered >= _MOST_UNANSWERED:
                        sending.stopped = answer.detail
                    if answer.verdict is Verdict.AGAIN:
                        break

        await _all([asyncio.ensure_future(worker()) for _ in range(min(self._settings.in_flight, len(queues)))])
        return sending

    async def ask(self, call: Callable[[], Found | Answer]) -> Found | Answer:
        """What a call finds or, where there is none after all attempts, the last answer to it."""

        async def once() -> Found | Answer:
            await self._pace.turn()
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda found: isinstance(found, Answer) and found.verdict is Verdict.AGAIN),
            stop=stop_after_attempt(self._settings.attempts),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=self._settings.longest_wait),
            retry_error_callback=_last_answer,
        )
        found: Found | Answer = await retrying(once)
        return found

    async def act(self, call: Callable[[], Answer], read_at: datetime) -> Answer:
        """The answer to a call that changes something, decided on a ledger that was read at ``read_at``."""

        def once() -> Answer:
            if self._clock() - read_at > self._settings.stale_after:
                return Answer(Verdict.AGAIN, "it was not sent: the ledger was read too long ago")
            answer = call()
            self._failpoint.reach("after_call")
            return answer

        return await self.ask(once)

    def close(self) -> None:
        """Without waiting for calls under way: what became of them the next run finds out."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _last_answer(state: RetryCallState) -> Answer:
    assert state.outcome is not None  # noqa: S101
    answer: Answer = state.outcome.result()
    return answer


async def _all(tasks: Sequence[Awaitable[None]]) -> None:
    """All of them, also where one fails: what was sent must be known."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
