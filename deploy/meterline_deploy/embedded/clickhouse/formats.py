"""The Content-Type of ClickHouse's output formats."""

from __future__ import annotations

DEFAULT = "TabSeparated"

_TYPES = (
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONStringsEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONLines", "application/x-ndjson; charset=UTF-8"),
    ("NDJSON", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
    ("CSV", "text/csv; charset=UTF-8; header=absent"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Markdown", "text/markdown; charset=UTF-8"),
    ("Parquet", "application/octet-stream"),
    ("ORC", "application/octet-stream"),
    ("Native", "application/octet-stream"),
    ("RowBinary", "application/octet-stream"),
    ("Arrow", "application/octet-stream"),
    ("Avro", "application/octet-stream"),
    ("MsgPack", "application/octet-stream"),
    ("Npy", "application/octet-stream"),
    ("BSONEachRow", "application/octet-stream"),
)


def content_type(format: str) -> str:
    return next((kind for prefix, kind in _TYPES if format.startswith(prefix)), "text/plain; charset=UTF-8")
