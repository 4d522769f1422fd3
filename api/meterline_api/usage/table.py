"""Usage as a table: the rows of an answer as CSV, newline-delimited JSON and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import Request, Response

from meterline_api.exports.examples import NO_PARQUET, NOT_ACCEPTABLE, tables_of
from meterline_api.formats.answer import following, headers_of, tabular
from meterline_api.formats.table import Column, Format, Kind
from meterline_api.models import UsageAnswer, UsageRow
from meterline_api.usage import examples as usage_examples

_PROPERTY: Final = "properties."
_ALWAYS: Final = (
    Column("from", Kind.INSTANT),
    Column("to", Kind.INSTANT),
    Column("metric", Kind.TEXT),
    Column("aggregation", Kind.TEXT),
    Column("unit", Kind.TEXT),
    Column("value", Kind.WIDE),
    Column("count", Kind.INTEGER),
)
_COMPARED: Final = (
    Column("previous.from", Kind.INSTANT, nullable=True),
    Column("previous.to", Kind.INSTANT, nullable=True),
    Column("previous.value", Kind.WIDE, nullable=True),
    Column("previous.count", Kind.INTEGER, nullable=True),
    Column("change_percent", Kind.WIDE, nullable=True),
)
_ROW: Final = (
    '{"from":"2026-11-01T00:00:00Z","to":"2026-11-02T00:00:00Z","metric":"storage_gb","aggregation":"max","unit":"GB",'
    '"value":"12.5","count":24,"tenant_id":"acme"}\n'
)
_CSV: Final = (
    "from,to,metric,aggregation,unit,value,count,tenant_id\r\n"
    "2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,storage_gb,max,GB,12.5,24,acme\r\n"
)


def answers() -> dict[int | str, dict[str, Any]]:
    """Those of ``GET /v1/usage``, in every format."""
    found = usage_examples.ANSWERS[200]
    example = found["content"][Format.JSON.media_type]["example"]
    schema = {"$ref": "#/components/schemas/UsageAnswer"}
    content = tables_of(schema, example, _ROW, _CSV)
    return {
        **usage_examples.ANSWERS,
        200: {**found, "content": content},
        406: NOT_ACCEPTABLE,
        501: NO_PARQUET,
    }


def table(
    request: Request, format: Format, answer: UsageAnswer, group_by: Sequence[str], *, compared: bool
) -> Response:
    """``answer`` in a format other than JSON. ``group_by`` are the columns that rows are told apart by.

    A line of newline-delimited JSON is a row as JSON has it; in CSV and Parquet what lies deeper has a column each,
    ``properties.<name>`` and ``previous.<name>``.
    """
    name = f"usage_{answer.start:%Y-%m-%d}_{answer.end:%Y-%m-%d}"
    link = None if answer.next_cursor is None else following(request, cursor=answer.next_cursor)
    if format is Format.NDJSON:
        rows = [row.model_dump(mode="json", by_alias=True, exclude_unset=True) for row in answer.data]
        body = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        return Response(body, headers=headers_of(name, format, link), media_type=format.content_type)
    grouped = [Column(each, Kind.TEXT, nullable=True) for each in dict.fromkeys(group_by) if each != "metric"]
    others = [Column("other", Kind.FLAG, nullable=True)] if any(row.other is not None for row in answer.data) else []
    columns = [*_ALWAYS, *grouped, *(_COMPARED if compared else ()), *others]
    return tabular(format, columns, [_flat(row) for row in answer.data], name, link=link)


def _flat(row: UsageRow) -> dict[str, Any]:
    flat = row.model_dump(by_alias=True)
    for deep in ("properties", "previous"):
        flat |= {f"{deep}.{name}": value for name, value in (flat.pop(deep) or {}).items()}
    return flat
