"""Exceptions as they go over HTTP, and as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel, Field

from meterline_api.billing.exceptions.found import Found, Kind, Place
from meterline_api.billing.rendering.words import amount, exact
from meterline_api.examples import problem
from meterline_api.opaque import opaque, plain

EXAMPLE: Final = {
    "kind": "unpriced_usage",
    "tenant_id": "acme",
    "metric": "ai_job",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-22T09:00:00Z",
    "since": "2026-11-20T14:00:00Z",
    "events": 12,
    "quantity": "12",
    "amount": None,
    "currency": None,
    "reference": None,
    "detail": "tenant 'acme' used ai_job between 2026-11-01T00:00:00Z and 2026-11-22T09:00:00Z, which plan 'basic' has "
    "no charge for",
    "action": "add a charge for ai_job to the plan's next version, with a price of 0 where it is free",
}


class ExceptionRow(BaseModel):
    """What needs a person before billing is whole."""

    kind: Kind
    tenant_id: str
    metric: str | None
    start: datetime | None = Field(alias="from", description="Start of the time that it is about.")
    end: datetime | None = Field(alias="to", description="End of it, not included.")
    since: datetime | None = Field(description="When it came about, where that is known.")
    events: int | None = Field(description="How many events it is about.")
    quantity: str | None = Field(description="What they come to, a decimal in the metric's unit.")
    amount: str | None = Field(description="What is owed, a decimal.")
    currency: str | None
    reference: str | None = Field(description="What it is about besides: an invoice, a push.")
    detail: str = Field(description="What it is, in a sentence.")
    action: str = Field(description="What to do.")


class ExceptionPage(BaseModel):
    """By kind, tenant, metric and time."""

    data: list[ExceptionRow]
    next_cursor: str | None = None


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The exceptions; none where all is well.",
        "content": {"application/json": {"example": {"data": [EXAMPLE], "next_cursor": None}}},
    },
    422: problem(
        "A parameter is not of its form.",
        422,
        "Unprocessable Entity",
        "invalid_cursor",
        "cursor is none that this server gave; start again without one",
    ),
    503: problem(
        "ClickHouse or Kafka does not answer.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer",
    ),
}


def row_of(found: Found) -> dict[str, Any]:
    """As ``ExceptionRow``."""
    return {
        "kind": found.kind,
        "tenant_id": found.tenant_id,
        "metric": found.metric or None,
        "from": found.start,
        "to": found.end,
        "since": found.since,
        "events": found.events,
        "quantity": None if found.quantity is None else exact(found.quantity),
        "amount": None if found.amount is None else amount(found.amount, found.currency),
        "currency": found.currency or None,
        "reference": found.reference or None,
        "detail": found.detail,
        "action": found.action,
    }


def write_cursor(place: Place) -> str:
    return opaque(msgspec.json.encode(place).decode())


def read_cursor(text: str) -> Place | None:
    """The place; None where ``write_cursor`` wrote no such text."""
    try:
        found: Place = msgspec.json.decode(plain(text) or "", type=Place)
    except msgspec.MsgspecError:
        return None
    return found
