"""Rows of the records of ``billing.payments``. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from meterline_schemas.billing.payment import INVOICE, REPORT, STRIPE, read_stripe_invoice
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.rows import Row, UnreadableError, instant

TABLE: Final = "payments"

_encode: Final = msgspec.json.Encoder().encode


def payment_row(offset: int, key: bytes | None, value: bytes) -> Row | None:
    """The row of an invoice; None: the record is a report, which has no table.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    text = (key or b"").decode(errors="replace")
    if text.startswith(REPORT):
        return None
    if not text.startswith(INVOICE):
        raise UnreadableError(f"{text!r} is no kind of record that this version knows")
    try:
        found = read_stripe_invoice(value)
    except UNREADABLE as error:
        raise UnreadableError(f"{text!r} cannot be read: {' '.join(str(error).split())}") from None
    row = {
        "created_at": instant(found.created_at),
        "reference": found.id,
        "provider": STRIPE,
        "tenant_id": found.tenant_id,
        "customer": found.customer,
        "provider_number": found.their_number,
        "numbers": found.numbers,
        "state": found.state,
        "at": instant(found.at),
        "detail": found.detail,
        "attempts": found.attempts,
        "next_attempt_at": instant(found.next_attempt_at),
        "currency": found.currency,
        "amount_due": format(found.amount_due, "f"),
        "amount_paid": format(found.amount_paid, "f"),
        "kafka_offset": offset,
    }
    return TABLE, _encode(row)
