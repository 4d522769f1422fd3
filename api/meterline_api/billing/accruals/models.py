"""Accruals as they go over HTTP, and as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from meterline_api.billing.accruals.accruing import Accrual
from meterline_api.billing.rendering.words import amount, exact
from meterline_api.examples import problem

EXAMPLE: Final = {
    "tenant_id": "acme",
    "tenant_name": "Acme Ltd",
    "plan": "order-management",
    "currency": "USD",
    "period_from": "2026-11-01T00:00:00Z",
    "period_to": "2026-12-01T00:00:00Z",
    "kind": "base_fee",
    "metric": None,
    "name": "Order management",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-16T00:00:00Z",
    "share": "0.5",
    "unit": "",
    "quantity": None,
    "included": None,
    "amount": "99.50",
    "deferred": "99.50",
    "origin": None,
}


class AccrualRow(BaseModel):
    """What a part of a tenant's period came to by the cut-off and stands on no document that was issued by then."""

    tenant_id: str
    tenant_name: str
    plan: str
    currency: str
    period_from: datetime
    period_to: datetime
    kind: str = Field(description="`base_fee`, `usage`, or `adjustment`: a change of what an invoice told.")
    metric: str | None = Field(description="Of usage.")
    name: str
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to", description="Not included; the cut-off where the period goes on behind it.")
    share: str | None = Field(description="Which part of the period it is, where it is not the whole.")
    unit: str
    quantity: str | None
    included: str | None
    amount: str = Field(description="What it came to, rounded once, a decimal.")
    deferred: str = Field(description="What of the base fee belongs to the time behind the cut-off, a decimal.")
    origin: str | None = Field(description="Of an adjustment: the invoice that it is to.")


class AccrualPage(BaseModel):
    """By tenant. ``problems`` has a sentence for each tenant that cannot be priced."""

    at: datetime
    as_of: datetime | None
    data: list[AccrualRow]
    problems: list[str]
    next_cursor: str | None = None


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The accruals.",
        "content": {
            "application/json": {
                "example": {
                    "at": "2026-11-16T00:00:00Z",
                    "as_of": None,
                    "data": [EXAMPLE],
                    "problems": [],
                    "next_cursor": "YWNtZQ",
                }
            }
        },
    },
    422: problem(
        "A parameter is not of its form, or lies ahead.",
        422,
        "Unprocessable Entity",
        "invalid_range",
        "at must lie in the past, in 1971 or later",
    ),
    503: problem(
        "ClickHouse or Kafka does not answer, or what was sent is not in ClickHouse yet.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer",
    ),
}


def row_of(accrual: Accrual) -> dict[str, Any]:
    """As ``AccrualRow``."""
    line, currency = accrual.line, accrual.currency
    return {
        "tenant_id": accrual.tenant.id,
        "tenant_name": accrual.tenant.name,
        "plan": line.plan,
        "currency": currency,
        "period_from": accrual.start,
        "period_to": accrual.end,
        "kind": line.kind,
        "metric": line.metric or None,
        "name": line.name,
        "from": line.start,
        "to": line.end,
        "share": None if line.share is None else exact(line.share),
        "unit": line.unit,
        "quantity": None if line.quantity is None else exact(line.quantity),
        "included": None if line.included is None else exact(line.included),
        "amount": amount(line.amount, currency),
        "deferred": amount(accrual.deferred, currency),
        "origin": line.origin or None,
    }
