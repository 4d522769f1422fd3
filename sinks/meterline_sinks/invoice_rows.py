"""Rows of the records of ``billing.invoices``. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec

from meterline_schemas.billing.invoice import INVOICE, PAYMENT, Invoice, Line, read_invoice, read_payment
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.rows import Row, UnreadableError, instant

INVOICES: Final = "invoices_raw"
PAYMENTS: Final = "invoice_payments"

_encode: Final = msgspec.json.Encoder().encode
_exact: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_NINE: Final = Decimal("1e-9")


def invoice_row(offset: int, key: bytes | None, value: bytes) -> Row:
    """A table, and the row of a record in it.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    text = (key or b"").decode(errors="replace")
    try:
        if text.startswith(INVOICE):
            return INVOICES, _encode(_document(read_invoice(value), value, offset))
        if text.startswith(PAYMENT):
            payment = read_payment(value)
            moments = {"at": instant(payment.at), "next_attempt_at": instant(payment.next_attempt_at)}
            return PAYMENTS, _encode({**msgspec.to_builtins(payment), **moments, "kafka_offset": offset})
    except UNREADABLE as error:
        raise UnreadableError(f"{text!r} cannot be read: {' '.join(str(error).split())}") from None
    raise UnreadableError(f"{text!r} is no kind of record that this version knows")


def _document(invoice: Invoice, value: bytes, offset: int) -> dict[str, Any]:
    exchange = invoice.exchange
    return {
        "tenant_id": invoice.tenant_id,
        "period_start": instant(invoice.start),
        "period_end": instant(invoice.end),
        "number": invoice.number,
        "kind": invoice.kind,
        "of": invoice.of,
        "reason": invoice.reason,
        "tenant_name": invoice.tenant_name,
        "plan": invoice.plan,
        "currency": invoice.currency,
        "total": _number(invoice.total),
        "exchange_currency": exchange.currency if exchange is not None else "",
        "exchange_rate": _number(exchange.rate) if exchange is not None else None,
        "exchange_total": _number(exchange.total) if exchange is not None else None,
        "lines": [_line(number, line) for number, line in enumerate(invoice.lines, 1)],
        "document": value.decode(),
        "issued_at": instant(invoice.issued_at),
        "kafka_offset": offset,
    }


def _line(number: int, line: Line) -> dict[str, Any]:
    return {
        "line": number,
        "kind": line.kind,
        "line_start": instant(line.start),
        "line_end": instant(line.end),
        "plan": line.plan,
        "metric": line.metric,
        "name": line.name,
        "unit": line.unit,
        "quantity": _number(line.quantity),
        "included": _number(line.included),
        "rate": _number(line.rate),
        "per": _number(line.per),
        "amount": _number(line.amount),
        "origin": line.origin,
    }


def _number(value: Decimal | None) -> str | None:
    """With the nine decimals of the column; a share of an included quantity may have more, which the document keeps."""
    return None if value is None else format(_exact.quantize(value, _NINE), "f")
