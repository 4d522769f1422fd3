"""What comes of an attempt: delivered, waiting for the next, or failed for good. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from meterline_schemas.delivery import MAX_ATTEMPTS, Attempt, Delivery, State


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``error`` is empty where it was taken; ``final``: another attempt would change nothing."""

    status: int | None = None
    error: str = ""
    answer: str = ""
    final: bool = False


@dataclass(frozen=True)
class Policy:
    """``delays`` are the pauses between attempts, the last one repeating; both in seconds."""

    delays: tuple[float, ...]
    give_up_after: float

    def pause(self, tries: int, chance: float) -> timedelta:
        """The pause behind attempt ``tries``, a tenth more or less as ``chance`` (0 to 1) has it.

        Receivers that were away together are not called together.
        """
        return timedelta(seconds=self.delays[min(tries, len(self.delays)) - 1] * (0.9 + 0.2 * chance))


def after(
    delivery: Delivery, outcome: Outcome, began: datetime, ended: datetime, policy: Policy, chance: float
) -> Delivery:
    """The delivery as it stands behind an attempt. ``chance``, from 0 to 1, spreads the next one."""
    since = delivery.since or began
    tries = delivery.tries + 1
    state, next_at, error = State.DELIVERED, None, outcome.error
    if error:
        state = State.FAILED
        next_at = ended + policy.pause(tries, chance)
        if outcome.final or next_at > since + timedelta(seconds=policy.give_up_after):
            next_at = None
        else:
            state = State.WAITING
        if state is State.FAILED and not outcome.final:
            error += f"; given up after {tries} attempt{'s' if tries > 1 else ''}: resend it when the receiver is well"
    number = delivery.attempts[-1].number + 1 if delivery.attempts else 1
    attempt = Attempt(
        number=number,
        at=began,
        seconds=round((ended - began).total_seconds(), 3),
        status=outcome.status,
        error=error,
        answer=outcome.answer,
    )
    return replace(
        delivery,
        state=state,
        tries=tries,
        since=since,
        next_at=next_at,
        attempts=(*delivery.attempts, attempt)[-MAX_ATTEMPTS:],
    )
