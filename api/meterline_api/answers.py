"""What a request with events is answered: a status for each, in order, and never less than all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from meterline_api.door import Admitted, Refused


class EventStatus(Struct, omit_defaults=True):
    """``accepted``: Kafka holds it. ``unknown``: it may. ``invalid``: it can never count as it is, for ``reason``."""

    index: int
    status: Literal["accepted", "invalid", "unknown"]
    id: str | None = None
    reason: str | None = None
    detail: str | None = None


class Accepted(Struct):
    """The answer where Kafka holds every event that can count."""

    accepted: int
    invalid: int
    events: list[EventStatus]


def statuses(verdicts: Sequence[Admitted | Refused], acknowledged: Sequence[bool]) -> Iterator[EventStatus]:
    """One for each verdict; ``acknowledged`` has one for each that was admitted."""
    answers = iter(acknowledged)
    for index, verdict in enumerate(verdicts):
        if isinstance(verdict, Refused):
            yield EventStatus(index, "invalid", verdict.id, verdict.reason, verdict.detail)
        else:
            yield EventStatus(index, "accepted" if next(answers) else "unknown", verdict.id)
