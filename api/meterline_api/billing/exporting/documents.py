"""Invoices and credit notes, and their lines, as rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from meterline_api.billing.exporting.columns import Described, Row, document, exact, instant, integer, money, text
from meterline_api.billing.rendering.json import tier_body
from meterline_api.billing.rendering.words import amount
from meterline_api.billing.rendering.words import exact as exactly
from meterline_schemas.billing.invoice import Invoice, Status

INVOICES: Final[tuple[Described, ...]] = (
    text("number", "Number of the document; invoices and credit notes have a series each, without gaps"),
    text("kind", "`invoice` or `credit_note`"),
    text("status", "`closed`, or `void` where a credit note took it back by `as_of`"),
    text("of", "Of a credit note: the invoice that it takes back", nullable=True),
    text("reason", "Of a credit note: why"),
    text("tenant_id", "Who is billed"),
    text("tenant_name", "Name of the tenant when it was issued"),
    text("plan", "Id of the plan at the end of the period"),
    text("currency", "ISO 4217 code of its amounts"),
    instant("from", "Start of its period"),
    instant("to", "End of its period, not included"),
    instant("issued_at", "When it was issued"),
    integer("lines", "How many lines it has"),
    money("total", "Sum of its lines; of a credit note below zero"),
    text("exchange_currency", "Another currency that the total is told in", nullable=True),
    exact("exchange_rate", "Units of it for one of `currency`"),
    text("exchange_source", "Where the rate is from", nullable=True),
    text("exchange_date", "Of which day the rate is", nullable=True),
    money("exchange_total", "The total in it", nullable=True),
)
LINES: Final[tuple[Described, ...]] = (
    text("number", "Number of the document"),
    integer("line", "Line of it, from 1"),
    text("document_kind", "`invoice` or `credit_note`"),
    text("of", "Of a credit note: the invoice that it takes back", nullable=True),
    text("tenant_id", "Who is billed"),
    text("tenant_name", "Name of the tenant when it was issued"),
    instant("issued_at", "When it was issued"),
    instant("period_from", "Start of the period of the document"),
    instant("period_to", "End of the period of the document, not included"),
    text("kind", "`base_fee`, `usage`, `adjustment` or `manual`"),
    text("plan", "Id of the plan that it is priced by"),
    text("metric", "Key of the metric; nothing for a base fee", nullable=True),
    text("name", "What it is, for people"),
    text("description", "More of it"),
    instant("from", "Start of what the line is of"),
    instant("to", "End of what the line is of, not included"),
    exact("share", "Which part of the period the line is of, where a plan changed within it"),
    text("unit", "Unit of the quantity"),
    exact("quantity", "How much was used; of an adjustment how much more than was told before"),
    exact("included", "What of it is not charged"),
    exact("rate", "Price of `per` units; nothing where it depends on the quantity"),
    exact("per", "Of how many units"),
    document("tiers", "How the amount came about where there are tiers: JSON"),
    text("currency", "ISO 4217 code of the amount"),
    money("amount", "What it comes to, rounded once; all lines of a document sum to its total"),
    text("origin", "Of an adjustment: the invoice that it is to", nullable=True),
    text("events", "Where the events behind it are listed", nullable=True),
)


def invoice_rows(invoice: Invoice) -> Iterator[Row]:
    """One."""
    exchange = invoice.exchange
    yield {
        "number": invoice.number,
        "kind": invoice.kind,
        "status": Status.VOID if invoice.status is Status.VOID else Status.CLOSED,
        "of": invoice.of or None,
        "reason": invoice.reason,
        "tenant_id": invoice.tenant_id,
        "tenant_name": invoice.tenant_name,
        "plan": invoice.plan,
        "currency": invoice.currency,
        "from": invoice.start,
        "to": invoice.end,
        "issued_at": invoice.issued_at,
        "lines": len(invoice.lines),
        "total": amount(invoice.total, invoice.currency),
        "exchange_currency": exchange and exchange.currency,
        "exchange_rate": exchange and exactly(exchange.rate),
        "exchange_source": exchange and exchange.source,
        "exchange_date": exchange and exchange.date,
        "exchange_total": exchange and amount(exchange.total, exchange.currency),
    }


def line_rows(invoice: Invoice) -> Iterator[Row]:
    for number, line in enumerate(invoice.lines, 1):
        tiers = [tier_body(tier) for tier in line.tiers]
        yield {
            "number": invoice.number,
            "line": number,
            "document_kind": invoice.kind,
            "of": invoice.of or None,
            "tenant_id": invoice.tenant_id,
            "tenant_name": invoice.tenant_name,
            "issued_at": invoice.issued_at,
            "period_from": invoice.start,
            "period_to": invoice.end,
            "kind": line.kind,
            "plan": line.plan,
            "metric": line.metric or None,
            "name": line.name,
            "description": line.description,
            "from": line.start,
            "to": line.end,
            "share": _exact(line.share),
            "unit": line.unit,
            "quantity": _exact(line.quantity),
            "included": _exact(line.included),
            "rate": _exact(line.rate),
            "per": _exact(line.per),
            "tiers": msgspec.json.encode(tiers).decode() if tiers else None,
            "currency": invoice.currency,
            "amount": amount(line.amount, invoice.currency),
            "origin": line.origin or None,
            "events": line.events or None,
        }


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else exactly(value)
