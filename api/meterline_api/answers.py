"""What a request with events is answered: a status for each, in order, and never less than all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from meterline_api.door import Admitted, Blocked, Refused, Verdict


class EventStatus(Struct, omit_defaults=True):
    """``accepted``: Kafka holds it. ``unknown``: it may. ``invalid``: it can never count as it is, for ``reason``.

    ``refused``: it was not sent, because no more may be used or the caller does not reach the tenant.
    """

    index: int
    status: Literal["accepted", "invalid", "refused", "unknown"]
    id: str | None = None
    reason: str | None = None
    detail: str | None = None


class Accepted(Struct, omit_defaults=True):
    """The answer where Kafka holds every event that can count. ``min_offset`` is what usage waits for with them in."""

    accepted: int
    invalid: int
    events: list[EventStatus]
    refused: int = 0
    min_offset: str = ""


def statuses(verdicts: Sequence[Verdict], acknowledged: Sequence[bool]) -> Iterator[EventStatus]:
    """One for each verdict; ``acknowledged`` has one for each that was admitted."""
    answers = iter(acknowledged)
    for index, verdict in enumerate(verdicts):
        match verdict:
            case Admitted(id):
                yield EventStatus(index, "accepted" if next(answers) else "unknown", id)
            case Refused(id, reason, detail):
                yield EventStatus(index, "invalid", id, reason, detail)
            case Blocked(id, detail, code):
                yield EventStatus(index, "refused", id, code, detail)
