"""Who was told of what, and how it went: records of the compacted ``meterline.deliveries``, by their keys.

A ``Delivery`` is one notification on its way to one target; its newest record is all that is known of it. A
``Resend`` asks for it once more and may be written by anybody; the notifier removes it when it has begun.
Both lie on the partition of the notification, the home of its tenant.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

MAX_ANSWER: Final = 1024  # bytes of a receiver's answer that are kept
MAX_ATTEMPTS: Final = 50  # attempts of a delivery that are kept: the newest

TargetKind = Literal["webhook", "email"]


class State(StrEnum):
    """Where a delivery stands. Closed. Nothing more is done for one that is delivered or failed."""

    PENDING = "pending"
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in (State.DELIVERED, State.FAILED)


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try. ``status`` is what an HTTP or SMTP server answered, None where none did; then ``error`` says why."""

    number: Annotated[int, Meta(ge=1, description="From 1, resends included.")]
    at: datetime
    seconds: float
    status: int | None = None
    error: str = ""
    answer: Annotated[str, Meta(description=f"The first {MAX_ANSWER} bytes of the answer.")] = ""


class Delivery(Struct, frozen=True, kw_only=True, tag_field="kind", tag="delivery", omit_defaults=True):
    """``target`` is ``webhook/<id>`` or ``email/<address>``; ``targets`` are all that were to be told, as judged once.

    ``tries`` and ``since`` (the time of the first of them) count from the last resend; back-off and giving up follow
    them. ``next_at`` is when a waiting delivery is tried again.
    """

    notification_id: str
    type: str
    tenant_id: str
    target: str
    targets: tuple[str, ...]
    state: State
    notification: msgspec.Raw
    tries: int = 0
    since: datetime | None = None
    next_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.notification_id, self.target

    @property
    def record_key(self) -> bytes:
        return msgspec.json.encode([self.notification_id, self.target])

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    def again(self, target: str | None = None) -> Delivery:
        """The same once more from the start, to ``target`` if that is another one; what was tried is still known."""
        fresh = msgspec.structs.replace(self, state=State.PENDING, tries=0, since=None, next_at=None)
        if target in (None, self.target):
            return fresh
        return msgspec.structs.replace(fresh, target=target, attempts=())


class Resend(Struct, frozen=True, kw_only=True, tag_field="kind", tag="resend", omit_defaults=True):
    """Deliver a notification once more: to one target, or with an empty ``target`` to all that were to be told.

    ``id`` is any text that no other request has.
    """

    id: str
    notification_id: str
    target: str = ""

    @property
    def record_key(self) -> bytes:
        return msgspec.json.encode(["resend", self.id])

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


Entry = Delivery | Resend

_entries: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


def decode(value: bytes) -> Entry:
    """The content of a record.

    Raises:
        ValueError: it is none.
    """
    return _entries.decode(value)


def target_of(kind: TargetKind, name: str) -> str:
    return f"{kind}/{name}"
