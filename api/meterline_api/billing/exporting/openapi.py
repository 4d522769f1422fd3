"""What OpenAPI shows of exports for finance: the answers of each, with examples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from meterline_api.billing.exporting.as_of import AsOf
from meterline_api.billing.exporting.columns import Described
from meterline_api.billing.exporting.kinds import Kind
from meterline_api.billing.exporting.writing import writer
from meterline_api.examples import problem
from meterline_api.exports.examples import NO_PARQUET, NOT_ACCEPTABLE, schema_of, tables_of
from meterline_api.formats.table import Format

_AT: Final = datetime(2026, 12, 2, 6, 0, tzinfo=UTC)


def answers(kind: Kind) -> dict[int | str, dict[str, Any]]:
    lines, csv = (_written(kind, format) for format in (Format.NDJSON, Format.CSV))
    document = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "array", "items": rows_of(kind.columns)},
            "next_cursor": {"type": "string", "description": "Of a page with more behind it."},
        },
    }
    content = tables_of(document, {"data": [msgspec.json.decode(lines)]}, lines, csv)
    as_of = AsOf(_AT, kind.ledger, ((0, 41),) if kind.ledger else None)
    headers = {
        "Meterline-As-Of": _header(
            "What the rows are as of. As `as_of` it gives the same bytes again, as `since` what changed after it.",
            str(as_of),
        )
    }
    if kind.ledger:
        headers |= {
            "ETag": _header("The same for the same bytes.", '"0f3a9c0e5b7d44d2a1b6c8e9f0a1b2c3"'),
            "Link": _header(
                "Of a page with more behind it: the next one, as of the same.",
                f"</v1/exports/{kind.name}?limit=100&as_of=…&cursor=41>; rel=next",
            ),
        }
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "The file.", "content": content, "headers": headers},
        406: NOT_ACCEPTABLE,
        422: problem("A parameter is wrong.", 422, "Unprocessable Entity", "invalid_range", "from must be before to"),
        501: NO_PARQUET,
        503: problem(
            "ClickHouse or Kafka does not answer.",
            503,
            "Service Unavailable",
            "clickhouse_unavailable",
            "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
        ),
    }
    if kind.ledger and not kind.repeats:
        found[412] = problem(
            "A row of the range took the place of another one after `as_of`.",
            412,
            "Precondition Failed",
            "export_changed",
            "something of the range was pushed again after that moment; pull it as it is now, or what changed since",
        )
    if kind.ledger:
        found[304] = {"description": "The file is still the one that `If-None-Match` names."}
    return found


def _written(kind: Kind, format: Format) -> str:
    into = writer(kind.columns, format)
    return (into.rows([kind.example]) + into.end()).decode()


def rows_of(columns: tuple[Described, ...]) -> dict[str, Any]:
    """The schema of a row."""
    return {
        "type": "object",
        "required": [each.name for each in columns],
        "properties": {each.name: {**schema_of(each.column), "description": each.about} for each in columns},
    }


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}
