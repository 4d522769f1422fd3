"""Rows that are no events, as a CSV that can be corrected and emitted with the same options."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterline_deploy.emit.mapping import ROW_COLUMN
from meterline_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from meterline_deploy.commands.events_file import Line
    from meterline_schemas.reading import InvalidLine

OWN: Final = (ROW_COLUMN, "rejected_reason")
Rejecting = Callable[["Line", "InvalidLine"], None]


@contextmanager
def rejects_to(path: Path | None, columns: Sequence[str]) -> Iterator[Rejecting]:
    """What to call with each such row. The file has their numbers, the reasons, and the cells under their columns.

    Raises:
        ConfigurationError: it cannot be written.
    """
    if path is None:
        yield lambda _line, _problem: None
        return
    keep = [index for index, name in enumerate(columns) if name not in OWN]
    try:
        file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    with file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*OWN, *(columns[index] for index in keep)])

        def write(line: Line, problem: InvalidLine) -> None:
            cells = line.cells
            kept = [cells[index] for index in keep if index < len(cells)]
            writer.writerow([line.number, problem.detail, *kept, *cells[len(columns) :]])

        yield write
