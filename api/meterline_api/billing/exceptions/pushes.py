"""Days that Stripe was not told, or did not take, and how long it still takes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

from meterline_api.billing.exceptions.found import Found, Kind, day_of
from meterline_api.billing.stripe.plan import NEARLY, OLDEST, Problem, Trouble, nearly_too_old, too_old
from meterline_schemas.billing.push import Push, PushState

_KINDS: Final = {Trouble.TOO_OLD: Kind.PUSH_TOO_OLD, Trouble.NEARLY_TOO_OLD: Kind.PUSH_NEARLY_TOO_OLD}
_ACTIONS: Final = {
    Kind.PUSH_TOO_OLD: "charge it by an invoice item at Stripe: a meter takes nothing that is older than 35 days",
    Kind.PUSH_NEARLY_TOO_OLD: "have it pushed now: `meterline billing run push --due now --wait`",
    Kind.PUSH_REFUSED: "put right what Stripe says, then `meterline billing run retry --due now --wait`",
}


def exceptions(unsettled: Iterable[Push], problems: Iterable[Problem], now: datetime) -> Iterator[Found]:
    """Of pushes without a good outcome, and of what a push would tell now; a day once."""
    told = set()
    for push in unsettled:
        kind = _kind(push, now)
        if kind is not None:
            told.add((push.tenant_id, push.metric, push.day))
            start, end = day_of(push.day)
            yield Found(
                kind,
                push.tenant_id,
                f"tenant {push.tenant_id!r}: {push.metric} of {push.day} is {push.value} in the meter's parts, and "
                + _outcome(push),
                _ACTIONS[kind],
                push.metric,
                start,
                end,
                push.at,
                Decimal(push.value),
                reference=push.identifier,
            )
    for problem in problems:
        if (problem.tenant_id, problem.metric, problem.day) not in told:
            kind = _KINDS.get(problem.trouble, Kind.PUSH_REFUSED)
            start, end = day_of(problem.day)
            since = end + (OLDEST if kind is Kind.PUSH_TOO_OLD else NEARLY)
            yield Found(
                kind,
                problem.tenant_id,
                str(problem),
                _ACTIONS[kind],
                problem.metric,
                start,
                end,
                min(since, now),
                reference=problem.trouble,
            )


def _kind(push: Push, now: datetime) -> Kind | None:
    if push.state is not PushState.DELIVERED and too_old(push.day, now):
        return Kind.PUSH_TOO_OLD
    if push.state is PushState.REFUSED:
        return Kind.PUSH_REFUSED
    return Kind.PUSH_NEARLY_TOO_OLD if push.state is PushState.INTENT and nearly_too_old(push.day, now) else None


def _outcome(push: Push) -> str:
    if push.state is PushState.REFUSED:
        return f"Stripe did not take it: {push.detail}"
    return "Stripe has not answered for it"
