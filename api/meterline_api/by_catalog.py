"""What stands before routes that answer from the whole catalog: half of it would give half an answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import Depends, Request

from meterline_api.problems import Code, Problem


async def _is_read(request: Request) -> None:
    if not request.app.state.catalog_ready():
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.KAFKA_UNAVAILABLE,
            "this server has not read the catalog yet; ask again in a moment, `meterline doctor` looks",
            headers={"Retry-After": "1"},
        )


BY_CATALOG: Final = Depends(_is_read)
"""A dependency that answers 503 until this process has read the catalog."""
