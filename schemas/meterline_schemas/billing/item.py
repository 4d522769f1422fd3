"""What of our documents goes to Stripe as invoice items: records of ``billing.items``.

Key ``items/<number>`` has all of a document: what is due of it, is under way, or is there. A call to Stripe is made
only for what is a committed *intent*, and its outcome is written after. Key ``mark`` says how far ``billing.invoices``
was taken over.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

ITEMS: Final = "items/"
MARK: Final = b"mark"


class ItemKind(StrEnum):
    """Closed, in the order in which they are done. ``invoice``: one at Stripe for the document, if it gets its own;
    ``item``: a line of the document; ``advance``, ``finalize``: what is done to that invoice once all items are on it.
    """

    INVOICE = "invoice"
    ITEM = "item"
    ADVANCE = "advance"
    FINALIZE = "finalize"


class ItemState(StrEnum):
    """Closed. ``due``: no call was made. ``intent``: it may be at Stripe. ``refused``: Stripe did not take it, and is
    asked again. ``left``: it never goes to Stripe. ``detail`` says why.
    """

    DUE = "due"
    INTENT = "intent"
    DELIVERED = "delivered"
    REFUSED = "refused"
    LEFT = "left"


class Item(Struct, frozen=True):
    """``amount`` is in the currency's units as Stripe counts them. ``line`` is the document's, from 1.

    ``at`` is since when it is in its state. ``attempt`` is part of the idempotency key. ``id`` is Stripe's.
    """

    kind: ItemKind
    state: ItemState
    at: datetime
    line: int = 0
    amount: int = 0
    description: str = ""
    metric: str = ""
    start: datetime | None = None
    end: datetime | None = None
    attempt: int = 1
    id: str = ""
    detail: str = ""
    request_id: str = ""

    @property
    def place(self) -> tuple[ItemKind, int]:
        return self.kind, self.line


class Items(Struct, frozen=True):
    """``number`` and ``of`` are those of the document. ``customer`` is empty until something of it was an intent."""

    number: str
    tenant_id: str
    currency: str
    issued_at: datetime
    items: tuple[Item, ...]
    customer: str = ""
    of: str = ""

    @property
    def key(self) -> bytes:
        return f"{ITEMS}{self.number}".encode()

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to be done."""
        return any(item.state in (ItemState.DUE, ItemState.INTENT, ItemState.REFUSED) for item in self.items)

    def find(self, kind: ItemKind, line: int = 0) -> Item | None:
        return next((item for item in self.items if item.place == (kind, line)), None)

    def idempotency_key(self, item: Item) -> str:
        """The same whoever sends it, and never used for two things."""
        return f"meterline:{self.customer}:{self.number}:{item.kind}:{item.line}:{item.attempt}"


class Mark(Struct, frozen=True):
    """Every record of ``billing.invoices`` before the offset ``next`` was taken over."""

    next: int


encode: Final = msgspec.json.Encoder().encode
read_items: Final = msgspec.json.Decoder(Items).decode
read_mark: Final = msgspec.json.Decoder(Mark).decode
