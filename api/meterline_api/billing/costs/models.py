"""Costs of days as they go over HTTP, and as the OpenAPI document shows them."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel, Field

from meterline_api.billing.costs.store import PLACES, Cost
from meterline_api.billing.rendering.words import exact
from meterline_api.examples import problem
from meterline_api.opaque import opaque, plain

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ROW: Final = {
    "day": "2026-11-21",
    "tenant_id": "acme",
    "kind": "usage",
    "metric": "order",
    "plan": "order-management",
    "currency": "USD",
    "unit": "order",
    "quantity": "42",
    "cost": "4.2",
    "period_from": "2026-11-01T00:00:00Z",
    "period_to": "2026-12-01T00:00:00Z",
}


class DayCostRow(BaseModel):
    """What a metric, or the base fee, cost on a UTC day."""

    day: date
    tenant_id: str
    kind: str = Field(description="`base_fee` or `usage`.")
    metric: str | None = Field(description="Of usage.")
    plan: str
    currency: str
    unit: str
    quantity: str = Field(description="What the day added to what is charged, a decimal.")
    cost: str = Field(description="What the day added to the price of its period, a decimal that is not rounded.")
    period_from: datetime
    period_to: datetime


class DayCostPage(BaseModel):
    """By day, tenant and metric."""

    data: list[DayCostRow]
    next_cursor: str | None = None


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The costs.",
        "content": {"application/json": {"example": {"data": [_ROW], "next_cursor": "WyIyMDI2LTExLTIxIl0"}}},
    },
    422: problem(
        "A parameter is not of its form, or the range is empty.",
        422,
        "Unprocessable Entity",
        "invalid_range",
        "to must lie behind from",
    ),
    503: problem(
        "ClickHouse does not answer.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer",
    ),
}


def row_of(cost: Cost) -> dict[str, Any]:
    """As ``DayCostRow``."""
    return {
        "day": cost.day,
        "tenant_id": cost.tenant_id,
        "kind": cost.kind,
        "metric": cost.metric or None,
        "plan": cost.plan,
        "currency": cost.currency,
        "unit": cost.unit,
        "quantity": exact(cost.quantity),
        "cost": exact(cost.cost),
        "period_from": cost.period_start,
        "period_to": cost.period_end,
    }


def write_cursor(cost: Cost) -> str:
    return opaque(msgspec.json.encode(cost.place).decode())


def read_cursor(text: str) -> tuple[str, ...] | None:
    """The place of a row; None where ``write_cursor`` wrote no such text."""
    try:
        found = msgspec.json.decode(plain(text) or "", type=list[str])
        date.fromisoformat(found[0] if found and _DAY.fullmatch(found[0]) else "")
    except (msgspec.MsgspecError, ValueError):
        return None
    return tuple(found) if len(found) == PLACES else None
