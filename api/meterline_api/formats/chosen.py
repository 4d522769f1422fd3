"""The format of an answer as a dependency of its route."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from importlib.util import find_spec
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request

from meterline_api.formats.negotiation import negotiate
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem

FORMATS: Final = (Format.JSON, Format.CSV, Format.PARQUET, Format.NDJSON)


def format_of(*offers: Format) -> Any:
    """A dependency: the format that ``format=`` or ``Accept`` asks for; the first of ``offers`` where nothing does.

    Raises:
        Problem: 406, none of them is wanted; 501, Parquet is, and pyarrow is not installed.
    """

    def chosen(
        request: Request,
        format: Annotated[
            Format | None, Query(description="Wins over `Accept`, for browsers and links that cannot set it.")
        ] = None,
    ) -> Format:
        found = format or negotiate(",".join(request.headers.getlist("accept")), offers)
        if found is None:
            raise Problem(
                HTTPStatus.NOT_ACCEPTABLE,
                Code.NOT_ACCEPTABLE,
                f"none of what Accept names is written here; ask for {_names(offers)}, or use format=",
            )
        if found is Format.PARQUET and not _has_pyarrow():
            raise Problem(
                HTTPStatus.NOT_IMPLEMENTED,
                Code.NOT_IMPLEMENTED,
                "Parquet needs pyarrow on the server: install meterline[parquet] there, or ask for CSV",
            )
        return found

    return Depends(chosen)


def _names(offers: Sequence[Format]) -> str:
    return ", ".join(offer.media_type for offer in offers)


@cache
def _has_pyarrow() -> bool:
    return find_spec("pyarrow") is not None
