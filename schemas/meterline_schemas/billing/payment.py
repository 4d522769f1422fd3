"""Invoices as Stripe has them: records of ``billing.payments``, the newest of each; and reports of refused usage there.

Key ``invoice/<id>`` is an invoice of Stripe's, whether it is of one of our invoices or of what meters counted. Key
``report/<event id>`` is what Stripe told of usage that it took and does not count.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from meterline_schemas.billing.invoice import Payment, PaymentState

STRIPE: Final = "stripe"
INVOICE: Final = "invoice/"
REPORT: Final = "report/"


class StripeStatus(StrEnum):
    """Of an invoice at Stripe. Closed. It only ever goes down this list; ``paid`` and ``void`` are its ends."""

    DRAFT = "draft"
    OPEN = "open"
    UNCOLLECTIBLE = "uncollectible"
    PAID = "paid"
    VOID = "void"


class StripeInvoice(Struct, frozen=True):
    """One of Stripe's. Amounts are in units of the currency. ``since`` is when its status came about.

    ``numbers`` are those of our invoices that it collects; none of them: it is of what meters counted. ``attempts``
    is Stripe's own count. ``failed`` is the last attempt that is known to have failed, at ``failed_at``; ``asked`` the
    last that the customer must confirm. ``told`` are the failed attempts that were notified. ``seen_at`` is when the
    event was made that all else is of, so that an older one takes nothing back.
    """

    id: str
    customer: str
    status: StripeStatus
    currency: str
    amount_due: Decimal
    amount_paid: Decimal
    created_at: datetime
    since: datetime
    seen_at: datetime
    tenant_id: str = ""
    numbers: tuple[str, ...] = ()
    their_number: str = ""
    attempts: int = 0
    next_attempt_at: datetime | None = None
    failed: int = 0
    failed_at: datetime | None = None
    asked: int = 0
    told: tuple[int, ...] = ()

    @property
    def key(self) -> bytes:
        return f"{INVOICE}{self.id}".encode()

    @property
    def state(self) -> PaymentState:
        if self.status is StripeStatus.OPEN and self.failed:
            return PaymentState.FAILED if self.failed == 1 else PaymentState.RETRIED
        return PaymentState(self.status)

    @property
    def at(self) -> datetime:
        """Since when it is in its state."""
        failing = self.state in (PaymentState.FAILED, PaymentState.RETRIED)
        return self.failed_at if failing and self.failed_at is not None else self.since

    @property
    def detail(self) -> str:
        """What needs a person, in a sentence; empty where nothing does."""
        if self.status is not StripeStatus.OPEN:
            return ""
        if self.asked > self.failed or (self.asked and self.asked == self.attempts):
            return "the customer has to confirm the payment, on the page that Stripe sent"
        if not self.failed:
            return ""
        again = "Stripe does not try again by itself: ask the customer for another way to pay"
        if self.next_attempt_at is not None:
            again = f"Stripe tries again at {self.next_attempt_at:%Y-%m-%dT%H:%M:%SZ}"
        return f"attempt {self.failed} to collect it failed; {again}"

    def payments(self) -> list[Payment]:
        """How the payment of each of our invoices stands that it collects."""
        return [
            Payment(
                number=number,
                state=self.state,
                at=self.at,
                provider=STRIPE,
                reference=self.id,
                detail=self.detail,
                attempts=self.attempts,
                next_attempt_at=self.next_attempt_at,
            )
            for number in self.numbers
        ]


class RefusedUsage(Struct, frozen=True):
    """Why Stripe does not count usage that it took, with some of the identifiers; never all of them."""

    code: str
    count: int
    message: str = ""
    identifiers: tuple[str, ...] = ()


class Report(Struct, frozen=True):
    """What one event of Stripe's told of usage between two instants. ``meter`` is empty where no meter was found."""

    event: str
    type: str
    at: datetime
    count: int
    start: datetime
    end: datetime
    reasons: tuple[RefusedUsage, ...]
    meter: str = ""
    summary: str = ""

    @property
    def key(self) -> bytes:
        return f"{REPORT}{self.event}".encode()


encode: Final = msgspec.json.Encoder(decimal_format="string").encode
read_stripe_invoice: Final = msgspec.json.Decoder(StripeInvoice).decode
read_report: Final = msgspec.json.Decoder(Report).decode
