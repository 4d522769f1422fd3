"""Which hours the late events of a batch fall into. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

Cell = tuple[str, str, int]  # tenant, metric, start of the hour in seconds since 1970

_CELLS: Final = 1_000  # in one statement
_BYTES: Final = 60_000  # of names in one statement: a server takes fields of 128 KiB
_WORD: Final = b'"late"'  # on-time lines do not have the field
_HOUR: Final = 3600


class _Line(Struct, gc=False):
    tenant_id: str
    metric: str
    timestamp: datetime
    late: int = 0


_decode: Final = msgspec.json.Decoder(_Line).decode


def late_cells(record: bytes) -> set[Cell]:
    """The cells of the late events in a record of ``usage.accepted``.

    Raises:
        UNREADABLE: a line that says whether it is late is no accepted event.
    """
    cells: set[Cell] = set()
    if _WORD in record:
        for text in record.split(b"\n"):
            if _WORD in text:
                line = _decode(text)
                if line.late:
                    cells.add((line.tenant_id, line.metric, int(line.timestamp.timestamp()) // _HOUR * _HOUR))
    return cells


def pieces(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """As many cells at a time as one statement takes, sorted: neighbours lie close to each other in the table."""
    piece: list[Cell] = []
    size = 0
    for cell in sorted(cells):
        names = len(cell[0].encode()) + len(cell[1].encode())
        if piece and (len(piece) == _CELLS or size + names > _BYTES):
            yield piece
            piece, size = [], 0
        piece.append(cell)
        size += names
    if piece:
        yield piece
