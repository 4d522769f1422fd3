"""Payments as they are answered, and what is answered to Stripe."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from meterline_schemas.billing.invoice import PaymentState

_PAYMENT: Final[dict[str, Any]] = {
    "provider": "stripe",
    "reference": "in_1SVxQz2eZvKYlo2C",
    "state": "failed",
    "at": "2026-12-01T01:00:04Z",
    "detail": "attempt 1 to collect it failed; Stripe tries again at 2026-12-04T01:00:04Z",
    "attempts": 1,
    "next_attempt_at": "2026-12-04T01:00:04Z",
}
_EXAMPLE: Final = {
    **_PAYMENT,
    "provider_number": "ACME-0007",
    "tenant_id": "acme",
    "customer": "cus_QXg1o8vcGmoR32",
    "invoices": ["INV-000012"],
    "currency": "USD",
    "amount_due": "478.50",
    "amount_paid": "0.00",
    "created_at": "2026-12-01T00:00:03Z",
}


class InvoicePayment(BaseModel):
    """How the payment of an invoice of ours stands, as whoever collects it says."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAYMENT]})

    provider: str
    reference: str = Field(description="What the invoice is known by there.")
    state: PaymentState = Field(description="`failed`: the first attempt did; `retried`: a later one failed too.")
    at: datetime = Field(description="Since when.")
    detail: str = Field(description="What has to be done, or nothing.")
    attempts: int = Field(description="How often it was tried to collect it.")
    next_attempt_at: datetime | None = Field(None, description="When it is tried again by itself.")


class PaymentAnswer(InvoicePayment):
    """An invoice of whoever collects payments: of one of ours, or of what meters counted."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    provider_number: str = Field(description="Its number there, or empty.")
    tenant_id: str = Field(description="Whose it is; empty where no tenant is that customer.")
    customer: str
    invoices: list[str] = Field(description="Numbers of our invoices that it collects; none: usage of meters.")
    currency: str
    amount_due: str = Field(description="A decimal.")
    amount_paid: str = Field(description="A decimal.")
    created_at: datetime


class WebhookAnswer(BaseModel):
    """Stripe only looks at the status. ``known``: it tells nothing new; ``ignored``: it is of no use here."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "recorded"}]})

    outcome: str


class StripeEvent(BaseModel):
    """An event as Stripe sends it: a snapshot, or a thin one."""

    id: str
    object: str
    type: str
