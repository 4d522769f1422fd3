"""Rows written as files, a batch at a time: the same rows give the same bytes, however they come in batches.

In CSV a text that a spreadsheet would read as a formula has an apostrophe before it, as in the CSV of an invoice; the
other formats have it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from meterline_api.billing.exporting.columns import Described, Row
from meterline_api.billing.rendering.csv import safe
from meterline_api.formats import text
from meterline_api.formats.table import Format, Kind

_GROUP: Final = 20_000  # rows of a row group of Parquet


class Writer(Protocol):
    def rows(self, rows: Iterable[Row]) -> bytes:
        """The bytes of the file that are ready once these follow."""
        ...

    def end(self) -> bytes:
        """The rest."""
        ...


def writer(columns: Sequence[Described], format: Format, next_cursor: str | None = None) -> Writer:
    match format:
        case Format.CSV:
            return _Csv(columns)
        case Format.PARQUET:
            return _Parquet(columns)
        case Format.JSON:
            return _Json(columns, next_cursor)
        case Format.NDJSON:
            return _Lines(columns)


class _Csv:
    def __init__(self, columns: Sequence[Described]) -> None:
        self._columns = columns
        self._head = text.header([each.column for each in columns])

    def rows(self, rows: Iterable[Row]) -> bytes:
        lines = (",".join(_field(each, row) for each in self._columns) + text.LINE_END for row in rows)
        head, self._head = self._head, ""
        return (head + "".join(lines)).encode()

    def end(self) -> bytes:
        return self.rows(())


class _Lines:
    def __init__(self, columns: Sequence[Described]) -> None:
        self._columns = [each.column for each in columns]

    def rows(self, rows: Iterable[Row]) -> bytes:
        return text.ndjson(self._columns, rows)

    def end(self) -> bytes:
        return b""


class _Json:
    """One document, with the rows on lines of their own."""

    def __init__(self, columns: Sequence[Described], next_cursor: str | None) -> None:
        self._lines = _Lines(columns)
        self._before = b'{"data":[\n'
        more = b"" if next_cursor is None else b',"next_cursor":' + msgspec.json.encode(next_cursor)
        self._end = b"\n]" + more + b"}\n"

    def rows(self, rows: Iterable[Row]) -> bytes:
        lines = self._lines.rows(rows)
        if not lines:
            return b""
        found = self._before + lines[:-1].replace(b"\n", b",\n")
        self._before = b",\n"
        return found

    def end(self) -> bytes:
        head = self._before if self._before != b",\n" else b""
        return head + self._end


class _Parquet:
    def __init__(self, columns: Sequence[Described]) -> None:
        from meterline_api.formats import parquet

        self._columns = [each.column for each in columns]
        self._table = parquet.table
        self._writer = parquet.Writer(self._columns)
        self._waiting: list[Row] = []

    def rows(self, rows: Iterable[Row]) -> bytes:
        self._waiting += (_in_milliseconds(row) for row in rows)
        ready = b""
        while len(self._waiting) >= _GROUP:
            ready += self._writer.write(self._table(self._columns, self._waiting[:_GROUP]))
            del self._waiting[:_GROUP]
        return ready

    def end(self) -> bytes:
        last = self._writer.write(self._table(self._columns, self._waiting)) if self._waiting else b""
        return last + self._writer.close()


def _field(each: Described, row: Row) -> str:
    found = text.plain(each.column, row.get(each.name))
    return text.quoted(safe(found) if each.column.kind is Kind.TEXT and not each.number else found)


def _in_milliseconds(row: Row) -> dict[str, Any]:
    return {
        name: value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
