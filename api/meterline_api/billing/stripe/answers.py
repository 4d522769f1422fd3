"""What Stripe's answer to a meter event means. Pure, and strict: nothing but its own words makes it delivered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PATIENCE: Final = frozenset({408, 409, 425, 429})
_NOT_LET_IN: Final = frozenset({401, 403})


class Verdict(StrEnum):
    """Closed. ``again``: it may or may not have been applied; ``stop``: nothing that follows would be taken either.

    ``spent``: Stripe answers the idempotency key with an error for good; whether it was applied is to be looked up.
    """

    DELIVERED = "delivered"
    REFUSED = "refused"
    AGAIN = "again"
    STOP = "stop"
    SPENT = "spent"


@dataclass(frozen=True)
class Answer:
    """``id`` is of the object that was made or found, where one is asked for."""

    verdict: Verdict
    detail: str = ""
    request_id: str = ""
    id: str = ""


def verdict(status: int | None, message: str, identifier: str) -> Verdict:
    """``status`` is None where no answer came.

    A repeated identifier is answered 400 "An event already exists with identifier X.", without a code.
    """
    if status is None or status in _PATIENCE or status >= 500:
        return Verdict.AGAIN
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status == 400 and "already exists" in message and "identifier" in message and identifier in message:
        return Verdict.DELIVERED
    return Verdict.STOP if status in _NOT_LET_IN else Verdict.REFUSED
