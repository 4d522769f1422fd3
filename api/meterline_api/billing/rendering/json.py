"""An invoice as JSON: decimals and instants as strings, every key always there and in this order. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from meterline_api.billing.rendering.words import amount, exact
from meterline_api.formats.text import instant
from meterline_schemas.billing.invoice import Exchange, Invoice, Line, TierAmount


def as_json(invoice: Invoice) -> bytes:
    return msgspec.json.encode(body(invoice)) + b"\n"


def body(invoice: Invoice) -> dict[str, Any]:
    """Amounts with the decimals of the currency; all else exact, without needless zeros. null: there is none."""
    currency = invoice.currency
    return {
        "number": invoice.number or None,
        "kind": invoice.kind,
        "status": invoice.status,
        "tenant_id": invoice.tenant_id,
        "tenant_name": invoice.tenant_name,
        "plan": invoice.plan,
        "currency": currency,
        "from": instant(invoice.start),
        "to": instant(invoice.end),
        "issued_at": instant(invoice.issued_at),
        "lines": [line_body(line, currency) for line in invoice.lines],
        "total": amount(invoice.total, currency),
        "exchange": None if invoice.exchange is None else _exchange(invoice.exchange),
        "of": invoice.of or None,
        "reason": invoice.reason,
        "cut": dict(sorted(invoice.cut.items(), key=lambda each: (len(each[0]), each[0]))),
    }


def line_body(line: Line, currency: str) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "plan": line.plan,
        "metric": line.metric or None,
        "name": line.name,
        "description": line.description,
        "from": instant(line.start),
        "to": instant(line.end),
        "share": _exact(line.share),
        "unit": line.unit,
        "quantity": _exact(line.quantity),
        "included": _exact(line.included),
        "rate": _exact(line.rate),
        "per": _exact(line.per),
        "tiers": [tier_body(tier) for tier in line.tiers],
        "amount": amount(line.amount, currency),
        "origin": line.origin or None,
        "events": line.events or None,
    }


def tier_body(tier: TierAmount) -> dict[str, str | None]:
    return {
        "up_to": _exact(tier.up_to),
        "quantity": exact(tier.quantity),
        "unit_price": exact(tier.unit_price),
        "flat": exact(tier.flat),
        "amount": exact(tier.amount),
    }


def _exchange(exchange: Exchange) -> dict[str, str]:
    return {
        "currency": exchange.currency,
        "rate": exact(exchange.rate),
        "source": exchange.source,
        "date": exchange.date,
        "total": amount(exchange.total, exchange.currency),
    }


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else exact(value)
