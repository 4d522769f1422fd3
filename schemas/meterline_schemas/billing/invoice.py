"""Invoices and credit notes as they are kept: records of ``billing.invoices``, never changed once written.

Key ``invoice/<number>`` is a document, ``payment/<number>`` how its payment stands. Amounts are in units of the
currency, plain decimals with no more digits than the currency has.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

INVOICE: Final = "invoice/"
PAYMENT: Final = "payment/"


class DocumentKind(StrEnum):
    """Closed. A credit note takes back a whole invoice: its amounts are those of the invoice, negative."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class Status(StrEnum):
    """Of a document. Closed. ``draft`` is computed when it is asked for and never kept; ``void`` has a credit note."""

    DRAFT = "draft"
    CLOSED = "closed"
    VOID = "void"


class LineKind(StrEnum):
    """Closed. ``adjustment``: usage of a closed period that came, or changed, after its close."""

    BASE_FEE = "base_fee"
    USAGE = "usage"
    ADJUSTMENT = "adjustment"
    MANUAL = "manual"


class TierAmount(Struct, frozen=True):
    """What lies in one tier of a price. ``amount`` is exact, not rounded; all of them sum to that of the price."""

    quantity: Decimal
    unit_price: Decimal
    flat: Decimal
    amount: Decimal
    up_to: Decimal | None = None


class Line(Struct, frozen=True):
    """``amount`` is rounded once. ``quantity`` is all that was used, ``included`` what of it is not charged.

    ``rate`` is the price of a unit where there is one; ``tiers`` how the amount came about where there are several.
    ``share`` is the part of the period that the line is of, where a plan changed within it. ``origin`` is the number
    of the invoice that an adjustment is to. ``events`` is where the events behind it are listed.
    """

    kind: LineKind
    amount: Decimal
    start: datetime
    end: datetime
    plan: str = ""
    metric: str = ""
    name: str = ""
    description: str = ""
    unit: str = ""
    quantity: Decimal | None = None
    included: Decimal | None = None
    rate: Decimal | None = None
    per: Decimal | None = None
    tiers: tuple[TierAmount, ...] = ()
    share: Decimal | None = None
    origin: str = ""
    events: str = ""


class Exchange(Struct, frozen=True):
    """What the total is in another currency, by a rate of configuration: units of ``currency`` for one."""

    currency: str
    rate: Decimal
    source: str
    date: str
    total: Decimal


class Invoice(Struct, frozen=True):
    """A document over ``[start, end)``. Its lines sum to ``total``.

    ``cut`` is, by partition of ``usage.events``, the offset before which every event is in it: what lies behind is
    an adjustment to a later one. ``number`` is empty in a draft. ``billing`` is how the tenant was charged as it was
    closed; empty in what was written before that was kept.
    """

    number: str
    kind: DocumentKind
    tenant_id: str
    tenant_name: str
    plan: str
    currency: str
    start: datetime
    end: datetime
    lines: tuple[Line, ...]
    total: Decimal
    issued_at: datetime
    status: Status = Status.CLOSED
    cut: dict[str, int] = {}
    of: str = ""
    reason: str = ""
    exchange: Exchange | None = None
    billing: str = ""

    @property
    def key(self) -> bytes:
        return f"{INVOICE}{self.number}".encode()


class PaymentState(StrEnum):
    """Closed. ``failed``: the first attempt to collect it failed; ``retried``: a later one did, and it is still owed.

    ``draft``: whoever collects it has not sent it yet.
    """

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    FAILED = "failed"
    RETRIED = "retried"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class Payment(Struct, frozen=True):
    """How the payment of an invoice stands, as whoever collects it says.

    ``attempts`` were made to collect it; another follows by itself at ``next_attempt_at``, if that is known.
    """

    number: str
    state: PaymentState
    at: datetime
    provider: str = ""
    reference: str = ""
    detail: str = ""
    attempts: int = 0
    next_attempt_at: datetime | None = None

    @property
    def key(self) -> bytes:
        return f"{PAYMENT}{self.number}".encode()


encode: Final = msgspec.json.Encoder(decimal_format="string").encode
read_invoice: Final = msgspec.json.Decoder(Invoice).decode
read_payment: Final = msgspec.json.Decoder(Payment).decode
