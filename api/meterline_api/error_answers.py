"""What is raised under a route, as answers: problems, parameters that are wrong, and what the framework refuses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from meterline_api.problems import Code, Problem

_CODES: Final[Mapping[int, Code]] = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}


def answer_errors(app: FastAPI) -> None:
    """Have the application answer them."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - it is registered for nothing else
    return error.response()


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors: list[dict[str, Any]] = [
        {"field": ".".join(str(part) for part in found["loc"][1:]), "detail": found["msg"]} for found in error.errors()
    ]
    detail = "; ".join(f"{found['field']}: {found['detail']}" for found in errors)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, detail, errors=errors).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    details = {
        404: f"there is nothing at {request.url.path[:200]}; /docs lists what there is",
        405: f"{request.method} is not for {request.url.path[:200]}",
    }
    return Problem(
        HTTPStatus(error.status_code),
        _CODES.get(error.status_code, Code.INVALID_REQUEST),
        details.get(error.status_code, str(error.detail)),
        headers=error.headers,
    ).response()
