"""An invoice as CSV: a row for each line, with what is the document's own repeated on it. Pure.

A text that a spreadsheet would read as a formula has an apostrophe before it; JSON has it as it is. Numbers have none:
a credit note's stay numbers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from meterline_api.billing.rendering.json import body
from meterline_api.formats import text
from meterline_api.formats.table import Column, Kind
from meterline_schemas.billing.invoice import Invoice

_DOCUMENT: Final = (
    "number", "kind", "status", "of", "tenant_id", "tenant_name", "currency", "from", "to", "issued_at", "total",
)  # fmt: skip
_LINE: Final = (
    "kind", "plan", "metric", "name", "description", "from", "to", "share", "unit", "quantity", "included", "rate",
    "per", "amount", "origin", "events",
)  # fmt: skip
_EXCHANGE: Final = ("currency", "rate", "source", "date", "total")
_NUMBERS: Final = {"total", "share", "quantity", "included", "rate", "per", "amount"}
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")

COLUMNS: Final = tuple(
    Column(name, Kind.TEXT, nullable=True)  # decimals are texts already, with the decimals of their currency
    for name in (*_DOCUMENT, "line", *(f"line_{name}" for name in _LINE), "line_tiers",
                 *(f"exchange_{name}" for name in _EXCHANGE))
)  # fmt: skip


def as_csv(invoice: Invoice) -> bytes:
    return text.csv(COLUMNS, rows(invoice)).encode()


def rows(invoice: Invoice) -> list[dict[str, Any]]:
    """By the names of ``COLUMNS``. ``line_tiers`` is JSON; ``line`` counts from 1."""
    document = body(invoice)
    exchange = document["exchange"] or {}
    around = {name: _safe(name, document[name]) for name in _DOCUMENT}
    exchanged = {f"exchange_{name}": _safe(name, exchange.get(name)) for name in _EXCHANGE}
    return [
        {
            **around,
            "line": str(number),
            **{f"line_{name}": _safe(name, line[name]) for name in _LINE},
            "line_tiers": msgspec.json.encode(line["tiers"]).decode() if line["tiers"] else "",
            **exchanged,
        }
        for number, line in enumerate(document["lines"], 1)
    ]


def safe(value: str) -> str:
    """A text as a field that is no formula."""
    return f"'{value}" if value.lstrip(" \u00a0").startswith(_FORMULA) else value


def _safe(name: str, value: str | None) -> str:
    return value or "" if value is None or name in _NUMBERS else safe(value)
