"""A file of any form as lines: events, or why they are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from meterline_deploy.commands.events_file import Line, read_lines
from meterline_deploy.emit.mapping import Mapping, Places, place
from meterline_deploy.emit.packed import BROKEN, Opened, opened
from meterline_deploy.emit.row import Rules, event_of, number_of
from meterline_deploy.emit.table import Table, UnreadableFileError
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.reading import InvalidLine


@dataclass(frozen=True)
class Asked:
    """``form`` is csv, tsv, parquet or ndjson. ``every``: cells of all columns are wanted, not of the mapped alone."""

    file: str
    form: str
    mapping: Mapping
    rules: Rules
    delimiter: str = ","
    every: bool = False


class Source(NamedTuple):
    """``noun`` is what a line is called, ``position`` how far it is read on the way to ``total`` (0: not known)."""

    noun: str
    lines: Iterator[Line]
    columns: Sequence[str]
    total: int
    position: Callable[[], int]


@contextmanager
def open_source(asked: Asked) -> Iterator[Source]:
    """The lines of a file, from its first.

    Raises:
        ConfigurationError: it cannot be read, or does not have what is mapped.
    """
    if asked.form == "parquet":
        yield _of_table(_parquet(asked.file), asked)
        return
    with opened(asked.file) as source:
        if asked.form == "ndjson":
            yield _of_lines(source)
        else:
            from meterline_deploy.emit.csv_table import CsvTable

            yield _of_table(CsvTable(source, "\t" if asked.form == "tsv" else asked.delimiter), asked)


def _parquet(file: str) -> Table:
    if file == "-":
        raise ConfigurationError("Parquet is read from a file, not from a pipe")
    try:
        from meterline_deploy.emit.parquet_table import ParquetTable
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"reading Parquet needs {error.name}: pip install 'meterline[parquet]'") from None
    return ParquetTable(file)


def _of_lines(source: Opened) -> Source:
    read = 0

    def lines() -> Iterator[Line]:
        nonlocal read
        number = 0
        try:
            for line in read_lines(source.file):
                number = line.number
                read += line.size
                yield line
        except BROKEN as error:
            raise UnreadableFileError(f"stopped after line {number}: the file cannot be read: {error}") from None

    return Source("lines", lines(), (), 0 if source.packed else source.size, lambda: read)


def _of_table(table: Table, asked: Asked) -> Source:
    places = place(asked.mapping, table.columns)
    table.check(places, asked.rules)
    return Source(
        "rows", _rows(table.rows(asked.every), places, asked.rules), table.columns, table.total, table.position
    )


def _rows(rows: Iterator[Sequence[str]], places: Places, rules: Rules) -> Iterator[Line]:
    for counted, cells in enumerate(rows, 1):
        number = number_of(cells, places, counted)
        size = sum(map(len, cells))
        try:
            yield Line(number, size, event_of(cells, number, places, rules), None, cells)
        except InvalidLine as problem:
            yield Line(number, size, None, problem, cells)
