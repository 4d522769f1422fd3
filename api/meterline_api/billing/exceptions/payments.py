"""Invoices that could not be collected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from meterline_api.billing.exceptions.found import Found, Kind
from meterline_api.billing.rendering.words import amount
from meterline_schemas.billing.invoice import PaymentState

FAILED = (PaymentState.FAILED, PaymentState.RETRIED, PaymentState.UNCOLLECTIBLE)


class Unpaid(NamedTuple):
    """An invoice of whoever collects payments, as it stands; ``numbers`` are those of our invoices in it."""

    reference: str
    tenant_id: str
    numbers: tuple[str, ...]
    state: PaymentState
    at: datetime
    detail: str
    currency: str
    owed: Decimal


def exceptions(unpaid: Iterable[Unpaid]) -> Iterator[Found]:
    for each in unpaid:
        what = f"invoice {', '.join(each.numbers)}" if each.numbers else f"the invoice {each.reference} of its meters"
        given_up = each.state is PaymentState.UNCOLLECTIBLE
        detail = each.detail or ("it was given up" if given_up else "it could not be collected")
        owed = f"{amount(each.owed, each.currency)} {each.currency}"
        yield Found(
            Kind.PAYMENT_FAILED,
            each.tenant_id,
            f"tenant {each.tenant_id!r}: {what} over {owed} is not paid: {detail}",
            "ask the customer for another way to pay, or take the invoice back (POST /v1/invoices/{number}/void)",
            since=each.at,
            amount=each.owed,
            currency=each.currency,
            reference=", ".join(each.numbers) or each.reference,
        )
