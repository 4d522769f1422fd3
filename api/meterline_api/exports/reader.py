"""Pages of an export from ClickHouse."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from meterline_api.clickhouse import ClickHouse
from meterline_api.exports import statement
from meterline_api.exports.selection import Key, Positions, Selection, Snapshot, Sum
from meterline_api.formats.table import Format, Kind

SCANNED: Final = 200_000  # rows of a page that is only summed up
_SETTINGS: Final[dict[str, str | int]] = {
    "max_memory_usage": 4_000_000_000,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_decimal_trailing_zeros": 0,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
}


@dataclass(frozen=True)
class Page:
    """Rows as text, or an Arrow table, with what they come to. ``next``: the key to go on after; None: the end."""

    texts: Sequence[str]
    table: Any
    sum: Sum
    next: Key | None


@dataclass(frozen=True)
class Measured:
    """What a pass over a selection found: ``size`` is of all texts in bytes, ``longest`` of one."""

    snapshot: Snapshot
    size: int
    longest: int


class Reader:
    """Reads a selection.

    Every method raises ``UnavailableError`` where ClickHouse does not answer.
    """

    def __init__(self, tables: ClickHouse, selection: Selection, format: Format) -> None:
        self._tables = tables
        self.selection = selection
        self.format = format

    async def pinned(self) -> Reader:
        """The same at the positions of this moment."""
        if not self.selection.table.positional:
            return self
        rows = await self._tables.rows(*statement.positions(self.selection))
        return self.at(tuple((int(partition), int(offset)) for partition, offset in rows))

    def at(self, positions: Positions | None) -> Reader:
        if positions is None or not self.selection.table.positional:
            return self
        return Reader(self._tables, dataclasses.replace(self.selection, positions=positions), self.format)

    async def measure(
        self, after: Key | None, found: Measured | None = None, rows: int = SCANNED
    ) -> tuple[Measured, Key | None]:
        """Add up to ``rows`` rows to what was found so far; the key to go on after, None at the end."""
        until = await self._until(after, rows)
        ((count, total, mix, size, longest, last),) = await self._tables.rows(
            *statement.sums(self.selection, after, until, rows, self._text_format), _SETTINGS
        )
        so_far = found or Measured(Snapshot(Sum(), self.selection.positions), 0, 0)
        added = Measured(
            Snapshot(so_far.snapshot.sum + Sum(count, total, mix), self.selection.positions),
            so_far.size + size,
            max(so_far.longest, longest),
        )
        return added, self._next(tuple(last), count, rows, until)

    async def texts(self, after: Key | None, rows: int) -> Page:
        until = await self._until(after, rows)
        found = await self._tables.rows(
            *statement.texts(self.selection, after, until, rows, self._text_format), _SETTINGS
        )
        if not found:
            return Page((), None, Sum(), self._next((), 0, rows, until))
        lines, hashes, *_keys = zip(*found, strict=True)
        return Page(lines, None, _sum(hashes), self._next(tuple(found[-1][2:]), len(found), rows, until))

    async def typed(self, after: Key | None, rows: int) -> Page:
        """With the Arrow table, which has a column ``h`` too many."""
        from meterline_api.formats import parquet

        until = await self._until(after, rows)
        asked = statement.typed(self.selection, after, until, rows)
        stream = await self._tables.document(*asked, "ArrowStream", _SETTINGS)
        table = parquet.read_stream(stream)
        count = table.num_rows
        last: Key = tuple(
            parquet.key_value(table, name, instant=kind is Kind.INSTANT)
            for name, kind in zip(self.selection.table.key, self.selection.table.key_kinds, strict=True)
            if count
        )
        return Page((), table, _sum(parquet.unsigned(table, "h")), self._next(last, count, rows, until))

    @property
    def _text_format(self) -> Format:
        return Format.CSV if self.format is Format.CSV else Format.NDJSON

    async def _until(self, after: Key | None, rows: int) -> Key | None:
        asked = statement.bound(self.selection, after, rows)
        if asked is None:
            return None
        found = await self._tables.rows(*asked)
        return tuple(found[0]) if found else None

    def _next(self, last: Key, count: int, rows: int, until: Key | None) -> Key | None:
        if count >= rows:
            return last
        return None if until is None else statement.past(until)


def _sum(hashes: Any) -> Sum:
    words = np.asarray(hashes, dtype=np.uint64)
    return Sum(len(words), int(words.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(words)))
