"""CSV as rows of text, as they come; never more than one row in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from meterline_deploy.emit.mapping import Places
from meterline_deploy.emit.packed import BROKEN, Opened
from meterline_deploy.emit.row import Rules
from meterline_deploy.emit.table import UnreadableFileError
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.event import MAX_LINE_BYTES

_LOOK = 200  # rows between looks at where the file is


class CsvTable:
    """The first line names the columns. Cells may be quoted, with quotes doubled inside; UTF-8, with or without BOM.

    Raises:
        ConfigurationError: there is no such first line.
    """

    def __init__(self, source: Opened, delimiter: str) -> None:
        csv.field_size_limit(MAX_LINE_BYTES)
        text = io.TextIOWrapper(source.file, "utf-8-sig", errors="surrogateescape", newline="")
        # strict: a quote that is never closed must not swallow the rows behind it unseen
        self._reader = csv.reader(text, delimiter=delimiter, strict=True)
        self._raw = source.raw
        self._position = 0
        self.total = source.size
        try:
            self.columns: Sequence[str] = next(filter(None, self._reader), [])
        except (csv.Error, *BROKEN) as error:
            raise ConfigurationError(f"the first line cannot be read as CSV: {error}") from None
        if not self.columns:
            raise ConfigurationError("the file is empty: its first line has to name the columns")
        if not all(name.isprintable() for name in self.columns):
            raise ConfigurationError("the first line is no text in UTF-8: save the file as CSV in UTF-8")

    def check(self, places: Places, rules: Rules) -> None:
        """Text may be anything."""

    def rows(self, every: bool) -> Iterator[Sequence[str]]:
        number = 0
        try:
            for cells in self._reader:
                if cells:
                    number += 1
                    if number % _LOOK == 0 and self.total:
                        self._position = self._raw.tell()
                    yield cells
        except csv.Error as error:
            why = f"{error}; is a quote never closed, or one inside a cell not doubled?"
            raise UnreadableFileError(f"stopped after row {number}: line {self._reader.line_num}: {why}") from None
        except BROKEN as error:
            raise UnreadableFileError(f"stopped after row {number}: the file cannot be unpacked: {error}") from None

    def position(self) -> int:
        return self._position
