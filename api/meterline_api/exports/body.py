"""The bytes of an export, a page at a time. What is held at once is one page, whatever the length of the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from meterline_api.exports.dialect import Dialect
from meterline_api.exports.marks import Mark
from meterline_api.exports.reader import Reader
from meterline_api.exports.selection import Key, Sum
from meterline_schemas.errors import MeterlineError

_PAGE_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024  # of a page of which every row is as long as the longest
_MOST_ROWS = 50_000


class ChangedError(MeterlineError):
    """The rows that were read are not those that the file was said to have."""

    def __init__(self) -> None:
        super().__init__("the rows changed while they were read; ask again")


def page_rows(rows: int, size: int, longest: int) -> int:
    """How many rows are read at once, of so many with texts of ``size`` bytes together and ``longest`` at most."""
    if not rows:
        return 1
    return max(1, min(_MOST_ROWS, _PAGE_BYTES // max(1, size // rows), _MOST_BYTES // max(1, longest)))


async def text(
    reader: Reader,
    dialect: Dialect,
    rows: int,
    start: Mark,
    skip: int = 0,
    wanted: Sum | None = None,
    mark: Callable[[Mark], None] = lambda _mark: None,
) -> AsyncIterator[bytes]:
    """A file from a mark on, without its first ``skip`` bytes.

    The last page is given only if all rows come to ``wanted``. None: whatever they are.

    Raises:
        ChangedError: they do not.
        UnavailableError: ClickHouse does not answer.
    """
    place, after, found = start.byte, start.after, start.sum
    head = b"" if place else dialect.head.encode()
    drop = skip
    more = True
    while more:
        page = await reader.texts(after, _left(rows, found, wanted))
        before, found, after = found.count, found + page.sum, page.next
        more = _more(found, wanted, after)
        piece = head + await asyncio.to_thread(dialect.rows, page.texts, before)
        head = b""
        place += len(piece)
        if more:
            mark(Mark(place, after, found))
        if drop < len(piece):
            yield piece[drop:]
        drop = max(0, drop - len(piece))
    yield dialect.tail.encode()[drop:]


async def parquet(reader: Reader, rows: int, after: Key | None, wanted: Sum | None = None) -> AsyncIterator[bytes]:
    """As ``text``: a row group for each page."""
    from meterline_api.formats.parquet import Writer

    writer = await asyncio.to_thread(Writer, reader.selection.table.columns)
    found = Sum()
    more = True
    while more:
        page = await reader.typed(after, _left(rows, found, wanted))
        found, after = found + page.sum, page.next
        more = _more(found, wanted, after)
        if page.table.num_rows:
            yield await asyncio.to_thread(writer.write, page.table)
    yield await asyncio.to_thread(writer.close)


def _left(rows: int, found: Sum, wanted: Sum | None) -> int:
    """How many rows the next page may have."""
    return rows if wanted is None else max(1, min(rows, wanted.count - found.count))


def _more(found: Sum, wanted: Sum | None, after: Key | None) -> bool:
    """Whether a page follows the one that was read.

    Raises:
        ChangedError: none does, and what was read is not what was wanted.
    """
    if wanted is None:
        return after is not None
    more = after is not None and found.count < wanted.count
    if not more and found != wanted:
        raise ChangedError
    return more
