"""What the requirement documents' own paths have in common: their form of errors."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from meterline_api.problems import Problem


class ErrorDetail(BaseModel):
    """What went wrong. `code` is the same as that of a problem document under `/v1`."""

    code: str
    message: str
    details: dict[str, Any] = Field(description="`errors` has each field that is wrong; `events` each event.")


class ErrorModel(BaseModel):
    """An error in the form of requirement document 1."""

    error: ErrorDetail


class DocumentRoute(APIRoute):
    """A route whose problems are answered as ``{"error": {"code", "message", "details"}}``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_form(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                return error(problem)

        return handle_in_form


def error(problem: Problem) -> Response:
    body = {"error": {"code": problem.code, "message": problem.detail, "details": problem.more}}
    return answer(body, int(problem.status), problem.headers)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
