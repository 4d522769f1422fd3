"""An export as the answer to a request: whole, from a byte on, a page of it, or that it is still the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

from meterline_api.exports import body
from meterline_api.exports.body import ChangedError, page_rows
from meterline_api.exports.dialect import Dialect, dialect
from meterline_api.exports.download import Download, begun
from meterline_api.exports.marks import Mark, Marks
from meterline_api.exports.range import first_byte
from meterline_api.exports.reader import SCANNED, Measured, Reader
from meterline_api.exports.selection import (
    CursorError,
    Key,
    Selection,
    Snapshot,
    Sum,
    etag,
    instant,
    read_cursor,
    snapshot_in,
    write_cursor,
)
from meterline_api.formats.answer import following, headers_of
from meterline_api.formats.packing import encoding_of
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_schemas.errors import UnavailableError

_TRIES: Final = 3  # where rows change between the first pass and the first page
_UNMEASURED_ROWS: Final = 10_000
_marks: Final = Marks()


@dataclass(frozen=True)
class Pull:
    """How a caller wants a selection. ``limit``: a page of it; ``cursor``: what follows a row.

    ``pinned`` are parameters of the address of the next page.
    """

    format: Format
    limit: int | None = None
    cursor: str | None = None
    snapshot: str | None = None
    consistent: bool = True
    pinned: Mapping[str, str] = field(default_factory=dict)


async def answer(request: Request, selection: Selection, pull: Pull) -> Response:
    """
    Raises:
        Problem: 412, 416, 422 or 503.
    """
    after, positions = _cursor(selection, pull)
    service: Service = request.app.state.service
    reader = Reader(service.clickhouse, selection, pull.format).at(positions)
    try:
        if not pull.consistent and pull.limit is None:
            return await _unmeasured(request, reader, after)
        return await _measured(request, reader, pull, after)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    except ChangedError:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.NOT_READY,
            "the rows change faster than they are read; ask for a range that has ended, or with consistent=false",
            headers={"Retry-After": "5"},
        ) from None


async def _unmeasured(request: Request, reader: Reader, after: Key | None) -> Response:
    """Each row as it is when it is read: there is no tag to resume by."""
    format = reader.format
    if format is Format.PARQUET:
        pieces = body.parquet(reader, _UNMEASURED_ROWS, after)
    else:
        pieces = body.text(reader, dialect(reader.selection.table, format), _UNMEASURED_ROWS, Mark(0, after, Sum()))
    pieces = await begun(pieces)
    headers = _headers(reader) | {"Accept-Ranges": "none"}
    return Download(pieces, HTTPStatus.OK, headers, format.content_type, _encoding(request, format))


async def _measured(request: Request, reader: Reader, pull: Pull, after: Key | None) -> Response:
    pin = _pinned(request, pull)
    resumed = snapshot_in(request.headers.get("if-range", "")) if pin is None else None
    for tried in range(_TRIES):
        chosen = pin or resumed
        if chosen is not None:
            at = reader.at(chosen.positions)
        else:
            at = reader if reader.selection.positions is not None else await reader.pinned()
        measured, next_key = await _measure(request, at, after, pull.limit)
        if pin is not None and measured.snapshot != pin:
            raise Problem(
                HTTPStatus.PRECONDITION_FAILED,
                Code.EXPORT_CHANGED,
                "the rows are not those of that snapshot any more, late events came or the request is another one; "
                "pull the file anew",
            )
        if resumed is not None and measured.snapshot != resumed:
            resumed = None  # what is there now, whole
            continue
        try:
            return await _file(request, at, pull, after, measured, next_key, go_on=chosen is not None)
        except ChangedError:
            if tried == _TRIES - 1:
                raise
    raise ChangedError


async def _measure(
    request: Request, reader: Reader, after: Key | None, limit: int | None
) -> tuple[Measured, Key | None]:
    found, next_key = await reader.measure(after, None, limit or SCANNED)
    while limit is None and next_key is not None:
        if await request.is_disconnected():
            raise ChangedError  # nobody reads the answer
        found, next_key = await reader.measure(next_key, found)
    return found, next_key


async def _file(
    request: Request,
    reader: Reader,
    pull: Pull,
    after: Key | None,
    measured: Measured,
    next_key: Key | None,
    *,
    go_on: bool,
) -> Response:
    """The file that was measured, or the rest of it; ``go_on``: the caller named the file that it has a part of."""
    format, table = pull.format, reader.selection.table
    snapshot = measured.snapshot
    cursor = None if next_key is None else write_cursor(table, next_key, reader.selection.positions)
    link = None if cursor is None else following(request, cursor=cursor, **pull.pinned)
    headers = _headers(reader, link) | {"X-Total-Count": str(snapshot.sum.count)}
    rows = page_rows(snapshot.sum.count, measured.size, measured.longest)
    encoding = _encoding(request, format)
    if format is Format.PARQUET:
        from meterline_api.formats.parquet import VERSION

        headers |= {"ETag": etag(snapshot, f"parquet-{VERSION}"), "Accept-Ranges": "none"}
        if _is_known(request, headers["ETag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        pieces = await begun(body.parquet(reader, rows, after, snapshot.sum))
        return Download(pieces, HTTPStatus.OK, headers, format.content_type)
    form = dialect(table, format, cursor)
    size = form.size(snapshot.sum.count, measured.size)
    plain = etag(snapshot, format)
    headers |= {"ETag": etag(snapshot, format, encoding), "Accept-Ranges": "bytes"}
    if _is_known(request, plain, etag(snapshot, format, "gzip"), etag(snapshot, format, "zstd")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    first = (
        first_byte(request.headers.get("range")) if go_on and request.headers.get("if-range", plain) == plain else None
    )
    if first is not None and first >= size:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            Code.RANGE_NOT_SATISFIABLE,
            f"the file has {size} bytes: you have all of it, or more than it",
            headers={"Content-Range": f"bytes */{size}", "ETag": plain},
        )
    pieces = await begun(_text(reader, form, rows, after, snapshot, first or 0, pull.limit))
    if first is None:
        return Download(pieces, HTTPStatus.OK, headers, format.content_type, encoding, size)
    headers |= {"ETag": plain, "Content-Range": f"bytes {first}-{size - 1}/{size}"}
    return Download(pieces, HTTPStatus.PARTIAL_CONTENT, headers, format.content_type, "", size - first)


def _text(
    reader: Reader, form: Dialect, rows: int, after: Key | None, snapshot: Snapshot, first: int, limit: int | None
) -> AsyncIterator[bytes]:
    file = (reader.selection, reader.format, after, limit, snapshot)
    start = _marks.before(file, first) or Mark(0, after, Sum())
    return body.text(reader, form, rows, start, first - start.byte, snapshot.sum, lambda mark: _marks.add(file, mark))


def _cursor(selection: Selection, pull: Pull) -> tuple[Key | None, tuple[tuple[int, int], ...] | None]:
    if pull.cursor is None:
        return None, None
    try:
        return read_cursor(selection.table, pull.cursor)
    except CursorError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, str(error)) from None


def _pinned(request: Request, pull: Pull) -> Snapshot | None:
    """The snapshot that the caller wants and no other, from ``snapshot=`` or ``If-Match``."""
    wanted = pull.snapshot or request.headers.get("if-match", "*")
    if wanted.strip() == "*":
        return None
    found = snapshot_in(wanted)
    if found is None:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            Code.EXPORT_CHANGED,
            "this is no ETag of an export; take one from an answer, or leave it out",
        )
    return found


def _is_known(request: Request, *tags: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    return not known.isdisjoint(tags)


def _encoding(request: Request, format: Format) -> str:
    """A file of Parquet is packed inside."""
    if format is Format.PARQUET:
        return ""
    return encoding_of(",".join(request.headers.getlist("accept-encoding")))


def _headers(reader: Reader, link: str | None = None) -> dict[str, str]:
    selection = reader.selection
    name = f"{selection.table.name}_{instant(selection.start)[:10]}_{instant(selection.end)[:10]}"
    return {
        **headers_of(name, reader.format, link),
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "private",
    }
