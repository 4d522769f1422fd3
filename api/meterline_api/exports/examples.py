"""What OpenAPI shows of exports: the answers of each, with examples."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from meterline_api.examples import problem
from meterline_api.exports.dialect import dialect
from meterline_api.exports.tables import EVENTS, REJECTED, USAGE, Table
from meterline_api.formats.table import Column, Format, Kind

_ROWS: Final = {
    USAGE.name: (
        '{"tenant_id":"acme","metric":"orders","from":"2026-11-01T00:00:00.000Z","to":"2026-11-02T00:00:00.000Z",'
        '"aggregation":"sum","unit":"order","value":"12.5","count":9,"sum":"12.5","min":"0.5","max":"3","last":"1",'
        '"last_timestamp":"2026-11-01T23:10:04.120Z","last_id":"o-9"}',
        "acme,orders,2026-11-01T00:00:00.000Z,2026-11-02T00:00:00.000Z,sum,order,12.5,9,12.5,0.5,3,1,"
        "2026-11-01T23:10:04.120Z,o-9",
    ),
    EVENTS.name: (
        '{"tenant_id":"acme","metric":"orders","timestamp":"2026-11-01T23:10:04.120Z","id":"o-9","quantity":"1",'
        '"subject":"","source":"shop","properties":{"region":"eu"},"late":false,'
        '"received_at":"2026-11-01T23:10:04.731Z","kafka_partition":2,"kafka_offset":4711,"kafka_line":0}',
        'acme,orders,2026-11-01T23:10:04.120Z,o-9,1,,shop,"{""region"":""eu""}",false,2026-11-01T23:10:04.731Z,2,4711,0',
    ),
    REJECTED.name: (
        '{"kafka_topic":"usage.events","kafka_partition":2,"kafka_offset":4712,"kafka_line":0,'
        '"received_at":"2026-11-01T23:10:05.002Z","reason":"duplicate","detail":"the same id came before",'
        '"tenant_id":"acme","metric":"orders","id":"o-9","lines":1,"raw":"{}","raw_encoding":"utf-8","raw_bytes":2,'
        '"raw_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}',
        "usage.events,2,4712,0,2026-11-01T23:10:05.002Z,duplicate,the same id came before,acme,orders,o-9,1,{},utf-8,2,"
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ),
}
_TAG: Final = '"lQECAwSQ.csv"'
NOT_ACCEPTABLE: Final = problem(
    "`Accept` names nothing that is written here.",
    406,
    "Not Acceptable",
    "not_acceptable",
    "none of what Accept names is written here; ask for application/json, text/csv, application/vnd.apache.parquet, "
    "application/x-ndjson, or use format=",
)
NO_PARQUET: Final = problem(
    "Parquet was asked for and cannot be written.",
    501,
    "Not Implemented",
    "not_implemented",
    "Parquet needs pyarrow on the server: install meterline[parquet] there, or ask for CSV",
)


def tables_of(schema: dict[str, Any], example: Any, lines: str, csv: str) -> dict[str, Any]:
    """The contents of an answer in every format, from those in JSON, newline-delimited JSON and CSV."""
    return {
        Format.JSON.media_type: {"schema": schema, "example": example},
        Format.CSV.media_type: {"schema": {"type": "string"}, "example": csv},
        Format.PARQUET.media_type: {"schema": {"type": "string", "format": "binary"}},
        Format.NDJSON.media_type: {"schema": {"type": "string"}, "example": lines},
    }


def answers(table: Table) -> dict[int | str, dict[str, Any]]:
    """The answers of an export."""
    line, fields = _ROWS[table.name]
    document = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "array", "items": _row(table)},
            "next_cursor": {"type": "string", "description": "Of a page with more behind it."},
        },
    }
    csv = dialect(table, Format.CSV).head + fields + "\r\n"
    content = tables_of(document, {"data": [_decoded(line)]}, line + "\n", csv)
    headers = {
        "ETag": _header("Strong: of these rows in this format. Give it as `snapshot` or `If-Range` to resume.", _TAG),
        "X-Total-Count": _header("Rows in the file.", "1"),
        "Link": _header("Of a page with more behind it: the next one.", "</v1/exports/usage?cursor=W1…>; rel=next"),
    }
    return {
        200: {"description": "The file.", "content": content, "headers": headers},
        206: {
            "description": "The rest of the file, from the byte that `Range` names.",
            "content": {one: content[one] for one in content if one != Format.PARQUET.media_type},
            "headers": {**headers, "Content-Range": _header("Which bytes.", "bytes 4096-8191/8192")},
        },
        304: {"description": "The file is still the one that `If-None-Match` names."},
        404: problem(
            "The metric is not defined.", 404, "Not Found", "unknown_metric", "metric 'orderz' is not defined"
        ),
        406: NOT_ACCEPTABLE,
        412: problem(
            "The rows are not those of `snapshot` or `If-Match` any more.",
            412,
            "Precondition Failed",
            "export_changed",
            "the rows are not those of that snapshot any more, late events came or the request is another one; "
            "pull the file anew",
        ),
        416: problem(
            "`Range` begins behind the end of the file.",
            416,
            "Requested Range Not Satisfiable",
            "range_not_satisfiable",
            "the file has 8192 bytes: you have all of it, or more than it",
        ),
        422: problem(
            "A parameter is wrong.",
            422,
            "Unprocessable Entity",
            "invalid_range",
            "from must be before to",
        ),
        501: NO_PARQUET,
        503: problem(
            "ClickHouse does not answer, or the rows change faster than they are read.",
            503,
            "Service Unavailable",
            "clickhouse_unavailable",
            "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
        ),
    }


def parameters() -> list[dict[str, Any]]:
    """Headers that exports listen to."""
    said = {
        "Range": ("`bytes=N-` with `If-Range` or `snapshot`: the rest of a file.", "bytes=4096-"),
        "If-Range": ("ETag of the file that `Range` goes on with; another one is answered whole.", _TAG),
        "If-Match": ("As `snapshot`.", _TAG),
        "If-None-Match": ("ETag of a file that you have: 304 if it is still the same.", _TAG),
    }
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, (text, _example) in said.items()
    ]


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


def _row(table: Table) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [column.name for column in table.columns],
        "properties": {column.name: schema_of(column) for column in table.columns},
    }


def schema_of(column: Column) -> dict[str, Any]:
    kinds: dict[Kind, dict[str, Any]] = {
        Kind.INTEGER: {"type": "integer"},
        Kind.FLAG: {"type": "boolean"},
        Kind.INSTANT: {"type": "string", "format": "date-time"},
        Kind.JSON: {"type": "object", "additionalProperties": {"type": "string"}},
        Kind.DECIMAL: {"type": "string", "description": "An exact decimal."},
        Kind.WIDE: {"type": "string", "description": "An exact decimal."},
    }
    found = kinds.get(column.kind, {"type": "string"})
    return {"anyOf": [found, {"type": "null"}]} if column.nullable else found


def _decoded(line: str) -> Any:
    return msgspec.json.decode(line)
