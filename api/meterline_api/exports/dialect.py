"""What stands around rows of text so that they are a file. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from meterline_api.exports.tables import Table
from meterline_api.formats.table import Format
from meterline_api.formats.text import LINE_END, header


@dataclass(frozen=True)
class Dialect:
    """``between`` two rows, ``end`` after each."""

    head: str
    between: str
    end: str
    tail: str

    def size(self, rows: int, texts: int) -> int:
        """Bytes of a file, from the bytes of its rows' texts."""
        around = len(self.head.encode()) + len(self.tail.encode())
        return around + texts + rows * len(self.end) + max(0, rows - 1) * len(self.between)

    def rows(self, texts: Sequence[str], before: int) -> bytes:
        """A part of a file that has ``before`` rows in front of these."""
        if not texts:
            return b""
        start = self.between if before else ""
        return (start + (self.end + self.between).join(texts) + self.end).encode()


_JSON_HEAD: Final = '{"data":[\n'


def dialect(table: Table, format: Format, next_cursor: str | None = None) -> Dialect:
    match format:
        case Format.CSV:
            return Dialect(header(table.columns), "", LINE_END, "")
        case Format.JSON:
            more = "" if next_cursor is None else f',"next_cursor":{msgspec.json.encode(next_cursor).decode()}'
            return Dialect(_JSON_HEAD, ",\n", "", f"\n]{more}}}\n")
        case _:
            return Dialect("", "", "\n", "")
