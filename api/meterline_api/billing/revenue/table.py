"""Revenue as it goes over HTTP: its columns, rows and cursors, and what the OpenAPI document shows of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from meterline_api.billing.exporting.columns import Described, Row, money, text
from meterline_api.billing.exporting.openapi import rows_of
from meterline_api.billing.exporting.writing import writer
from meterline_api.billing.rendering.words import amount
from meterline_api.billing.revenue.months import write_month
from meterline_api.billing.revenue.store import Place, Revenue
from meterline_api.examples import problem
from meterline_api.exports.examples import NO_PARQUET, NOT_ACCEPTABLE, tables_of
from meterline_api.formats.table import Column, Format, Kind
from meterline_api.opaque import opaque, plain
from meterline_api.usage.query import change_percent

_MONTHS: Final = range(12 * 2200)

COLUMNS: Final[tuple[Described, ...]] = (
    text("period", "The month that the periods of the documents end in, such as `2026-11`"),
    text("tenant_id", "Who is billed; nothing where it is not grouped by", nullable=True),
    text("metric", "Key of the metric; nothing of lines without one, or where it is not grouped by", nullable=True),
    text("currency", "ISO 4217 code of the amounts"),
    money("base_fee", "Base fees on invoices"),
    money("usage", "Usage on invoices, with included quantities, discounts, minimums and caps"),
    money("adjustment", "What came to earlier invoices after their close"),
    money("manual", "Lines that somebody wrote"),
    money("credit", "All that credit notes take back, below zero"),
    money("total", "The sum of these: of all documents of the month"),
    money("previous", "`total` of the month before; nothing where that had no lines", nullable=True),
    Described(
        Column("growth", Kind.DECIMAL, nullable=True),
        "By how much `total` is above `previous`, in percent with one decimal; nothing where that is missing or 0",
        number=True,
    ),
)
EXAMPLE: Final[Row] = {
    "period": "2026-11",
    "tenant_id": "acme",
    "metric": None,
    "currency": "USD",
    "base_fee": "199.00",
    "usage": "125.00",
    "adjustment": "-1.00",
    "manual": "0.00",
    "credit": "0.00",
    "total": "323.00",
    "previous": "310.00",
    "growth": "4.2",
}


def row_of(revenue: Revenue) -> Row:
    """A value of each of ``COLUMNS``."""
    currency = revenue.currency
    parts = ("base_fee", "usage", "adjustment", "manual", "credit", "total")
    previous = revenue.previous
    return {
        "period": write_month(revenue.month),
        "tenant_id": revenue.tenant_id or None,
        "metric": revenue.metric or None,
        "currency": currency,
        **{name: amount(getattr(revenue, name), currency) for name in parts},
        "previous": None if previous is None else amount(previous, currency),
        "growth": None if previous is None else change_percent(str(revenue.total), str(previous)),
    }


def write_cursor(revenue: Revenue) -> str:
    return opaque(msgspec.json.encode(revenue.place).decode())


def read_cursor(cursor: str) -> Place | None:
    """The place of a row; None where ``write_cursor`` wrote no such text."""
    try:
        found = msgspec.json.decode(plain(cursor) or "", type=Place)
    except msgspec.MsgspecError:
        return None
    return found if found[-1] in _MONTHS else None


def answers() -> dict[int | str, dict[str, Any]]:
    """In every format."""
    lines, csv = (_written(format) for format in (Format.NDJSON, Format.CSV))
    document = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "array", "items": rows_of(COLUMNS)},
            "next_cursor": {"type": "string", "description": "Of a page with more behind it."},
        },
    }
    return {
        200: {
            "description": "The revenue, by tenant, metric, currency and month.",
            "content": tables_of(document, {"data": [EXAMPLE]}, lines, csv),
            "headers": {
                "Link": {
                    "description": "Of a page with more behind it: the next one, in every format.",
                    "schema": {"type": "string"},
                    "example": "</v1/billing/revenue?group_by=tenant_id&cursor=WyJhY21lIl0>; rel=next",
                }
            },
        },
        406: NOT_ACCEPTABLE,
        422: problem(
            "A parameter is not of its form, or the range is empty.",
            422,
            "Unprocessable Entity",
            "invalid_range",
            "to must lie behind from",
        ),
        501: NO_PARQUET,
        503: problem(
            "ClickHouse does not answer, or Kafka, which keeps the audit log.",
            503,
            "Service Unavailable",
            "clickhouse_unavailable",
            "ClickHouse at http://127.0.0.1:8123 does not answer",
        ),
    }


def _written(format: Format) -> str:
    into = writer(COLUMNS, format)
    return (into.rows([EXAMPLE]) + into.end()).decode()
