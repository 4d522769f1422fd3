"""Problems as OpenMeter's clients read them: RFC 7807 documents with an ``instance``; what is wrong is always a 400."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from meterline_api.problems import Code, Problem


class OpenMeterRoute(APIRoute):
    """A route whose problems have the form of OpenMeter's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_form(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                return in_form(problem, request).response()
            except RequestValidationError as error:
                return in_form(_of_parameters(error), request).response()

        return handle_in_form


def in_form(problem: Problem, request: Request) -> Problem:
    """The same problem: their clients know no 422, and want the request that it is about."""
    wrong = problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    status = HTTPStatus.BAD_REQUEST if wrong else problem.status
    more = {**problem.more, "instance": request.url.path[:1000]}
    return Problem(status, problem.code, problem.detail, headers=problem.headers, **more)


def wrong(field: str, detail: str) -> Problem:
    """A parameter that cannot be answered as it is."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        Code.INVALID_REQUEST,
        f"{field}: {detail}",
        errors=[{"field": field, "detail": detail}],
    )


def _of_parameters(error: RequestValidationError) -> Problem:
    errors = [
        {"field": ".".join(str(part) for part in found["loc"][1:]), "detail": found["msg"]} for found in error.errors()
    ]
    detail = "; ".join(f"{found['field']}: {found['detail']}" for found in errors)
    return Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_REQUEST, detail, errors=errors)
