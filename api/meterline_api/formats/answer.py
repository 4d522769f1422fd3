"""A list of rows as an answer in the format that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from meterline_api.formats import text
from meterline_api.formats.table import Column, Format


def tabular(
    format: Format,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    name: str,
    *,
    link: str | None = None,
) -> Response:
    """``rows`` as CSV, newline-delimited JSON or Parquet; JSON is for the route, which has a document of its own.

    ``name`` is that of a file without its ending, ``link`` the address of the page after this.
    """
    match format:
        case Format.CSV:
            body = text.csv(columns, rows).encode()
        case Format.PARQUET:
            from meterline_api.formats import parquet

            body = parquet.whole(columns, rows)
        case _:
            body = text.ndjson(columns, rows)
    return Response(body, headers=headers_of(name, format, link), media_type=format.content_type)


def headers_of(name: str, format: Format, link: str | None) -> dict[str, str]:
    """``name`` has letters, digits, dots and dashes only."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"', "Vary": "Accept"}
    return headers if link is None else {**headers, "Link": f'<{link}>; rel="next"'}


def following(request: Request, **changed: str) -> str:
    """The address of a request with other parameters, relative to the server: its name is not ours to know."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    return f"{request.url.path}?{urlencode([*kept, *changed.items()])}"
