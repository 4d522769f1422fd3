"""Rows as CSV (RFC 4180) and as newline-delimited JSON. Pure.

A value is what ``Kind`` says, as Python has it: a decimal is a ``Decimal`` or plain text, an instant an aware
``datetime``, a document text. CSV writes values as they are: nothing is put before ``=`` or ``+``, which spreadsheets
would read as a formula, because a file that programs read back must hold what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from meterline_api.formats.table import Column, Kind

LINE_END: Final = "\r\n"
_NEEDS_QUOTES: Final = frozenset('",\r\n')


def quoted(text: str) -> str:
    """A field of CSV."""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.intersection(text) else text


def header(columns: Sequence[Column]) -> str:
    return ",".join(quoted(column.name) for column in columns) + LINE_END


def csv(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> str:
    """With a header; an empty field is an empty text or no value."""
    lines = (",".join(quoted(plain(column, row.get(column.name))) for column in columns) for row in rows)
    return header(columns) + "".join(line + LINE_END for line in lines)


def ndjson(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> bytes:
    lines = ({column.name: _in_json(column, row.get(column.name)) for column in columns} for row in rows)
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def plain(column: Column, value: Any) -> str:
    """A value as text, without quotes."""
    if value is None:
        return ""
    match column.kind:
        case Kind.INSTANT:
            return instant(value)
        case Kind.FLAG:
            return "true" if value else "false"
        case Kind.DECIMAL | Kind.WIDE if isinstance(value, Decimal):
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            return str(value)


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC; milliseconds where there are any."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _in_json(column: Column, value: Any) -> Any:
    match column.kind:
        case Kind.JSON:
            return None if value is None else msgspec.Raw(value.encode())
        case Kind.INTEGER | Kind.FLAG:
            return value
        case _:
            return None if value is None else plain(column, value)
