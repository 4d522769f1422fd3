"""What the requirement documents' own paths have in common: their form of errors, of bodies and of times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import Struct
from pydantic import BaseModel, Field

from meterline_api.bodies import read_body
from meterline_api.middleware import where
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.submissions import read_one
from meterline_api.usage.ranges import range_of
from meterline_schemas.catalog import Metric
from meterline_schemas.reading import InvalidLine
from meterline_schemas.reject import Reason

log = logging.getLogger(__name__)

Body = TypeVar("Body", bound=Struct)


class ErrorDetail(BaseModel):
    """What went wrong. `code` is the same as that of a problem document under `/v1`."""

    code: str
    message: str
    details: dict[str, Any] = Field(description="`errors` has each field that is wrong; `events` each event.")


class ErrorModel(BaseModel):
    """An error in the form of requirement document 1."""

    error: ErrorDetail


class DocumentRoute(APIRoute):
    """A route whose problems are answered as ``{"error": {"code", "message", "details"}}``; ``in_form`` writes one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_form(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                return self.in_form(problem)
            except RequestValidationError as found:
                return self.in_form(_invalid(found))
            except Exception as failure:
                log.error("internal error at %s %s: %s", request.method, request.url.path, where(failure))
                return self.in_form(_FAILED)

        return handle_in_form

    def in_form(self, problem: Problem) -> Response:
        return error(problem)


_FAILED: Final = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, Code.INTERNAL_ERROR, "the server failed; its log says where")


def error(problem: Problem) -> Response:
    body = {"error": {"code": problem.code, "message": problem.detail, "details": problem.more}}
    return answer(body, int(problem.status), problem.headers)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


# what is wrong


def wrong(field: str, detail: str, code: Code = Code.INVALID_REQUEST) -> Problem:
    """One field of a request that cannot be taken."""
    errors = [{"field": field, "detail": detail}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, code, f"{field}: {detail}", errors=errors)


def unknown_metric(name: str, how: str = "GET /v1/metrics lists those that are") -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"{name[:200]!r} is not defined; {how}")


def not_implemented(why: str) -> Problem:
    return Problem(HTTPStatus.NOT_IMPLEMENTED, Code.NOT_IMPLEMENTED, why)


def _invalid(found: RequestValidationError) -> Problem:
    errors = [{"field": ".".join(map(str, one["loc"][1:])), "detail": one["msg"]} for one in found.errors()]
    detail = "; ".join(f"{one['field']}: {one['detail']}" for one in errors)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, detail, errors=errors)


# what is sent


async def read_form(request: Request, decode: Callable[[bytes], Body]) -> Body | InvalidLine:
    """The JSON object of the body, whatever its ``Content-Type`` says; or why it is not what it should be.

    Raises:
        Problem: 400, it is no JSON; 413.
    """
    found = read_one(decode, await read_body(request, service_of(request).settings.max_body_bytes))
    if isinstance(found, InvalidLine) and found.reason == Reason.INVALID_JSON:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, f"the body is no JSON: {found.detail}")
    return found


def find_metric(service: Service, tenant_id: str, name: str, aliases: Mapping[str, str] | None = None) -> Metric:
    """A tenant's metric by its key as it is or, in lower case, by one of ``aliases`` or its key.

    Raises:
        Problem: 404, there is none, or it is another tenant's; 503, this process has not read the catalog yet.
    """
    lower = name.lower()
    for key in (name, (aliases or {}).get(lower, lower)):
        found = service.catalog.metric(key)
        if found is not None and found.tenant_id in ("", tenant_id):
            return found
    if not service.catalog.partitions:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.NOT_READY,
            "the catalog has not been read yet; try again in a moment",
            headers={"Retry-After": "1"},
        )
    raise unknown_metric(name)


def iso_instant(text: str, field: str) -> tuple[datetime, bool]:
    """An ISO 8601 date or time in UTC, which is meant where none is named; and whether it is only a date.

    Raises:
        Problem: 422, it is none.
    """
    plus = text.replace(" ", "+") if "T" in text else text  # what a query does to the sign of an offset
    try:
        found = datetime.fromisoformat(plus)
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)), "T" not in text
    except (ValueError, OverflowError):
        raise wrong(field, f"is {text[:50]!r}; write a date or time of ISO 8601, such as 2026-11-01") from None


def hours(
    start: datetime | None, end: datetime | None, now: datetime, names: tuple[str, str] = ("from", "to")
) -> tuple[datetime, datetime]:
    """A range of whole hours as ``/v1/usage`` takes it, by default this month; ``names`` are those of its ends.

    Raises:
        Problem: 422, it is none.
    """
    for name, at in zip(names, (start, end), strict=True):
        if at is not None and (at.minute or at.second or at.microsecond):
            raise wrong(name, "must be a whole hour in UTC: usage is kept by the hour", Code.INVALID_RANGE)
    try:
        return range_of(start, end, now)
    except Problem as problem:
        detail = problem.detail.replace("from must", f"{names[0]} must").replace("before to", f"before {names[1]}")
        raise Problem(problem.status, problem.code, detail, **problem.more) from None


# what OpenAPI shows

_DESCRIBED: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("The body cannot be read, or the event can never count.", Code.INVALID_JSON, "the body is no JSON"),
    401: ("No API key, or a wrong one.", Code.UNAUTHORIZED, "send a valid API key as Authorization: Bearer <key>"),
    403: (
        "The caller may not, or does not reach the tenant; or a threshold that blocks is reached.",
        Code.PERMISSION_DENIED,
        "the role producer does not have FINANCE_MANAGE; ask an administrator",
    ),
    404: (
        "There is no such metric.",
        Code.UNKNOWN_METRIC,
        "'OCR' is not defined; GET /v1/metrics lists metrics",
    ),
    409: ("It contradicts what is there.", Code.CONFLICT, "prices are in EUR and USD; choose one with currency="),
    413: ("More bytes than one request may have.", Code.BODY_TOO_LARGE, "a request may have 8388608 bytes"),
    415: ("An encoding that is not read.", Code.UNSUPPORTED_ENCODING, "send gzip, zstd or none"),
    422: ("Something of the request is wrong: each is named.", Code.INVALID_REQUEST, "from: is 'x'"),
    429: ("Too many requests.", Code.RATE_LIMITED, "wait for Retry-After seconds"),
    500: ("The server failed.", Code.INTERNAL_ERROR, "the server failed; its log says where"),
    501: ("What it needs is not part of this version.", Code.NOT_IMPLEMENTED, "it comes with billing"),
    503: ("Kafka or ClickHouse does not answer.", Code.CLICKHOUSE_UNAVAILABLE, "ClickHouse does not answer"),
}
TRACKS: Final = (400, 404, 413, 415, 503)
READS: Final = (422, 503)


def error_answer(
    description: str, code: str, message: str, *, model: type[BaseModel] = ErrorModel, **details: Any
) -> dict[str, Any]:
    """An error with an example."""
    example = {"error": {"code": code, "message": message, "details": details}}
    return {"model": model, "description": description, "content": {"application/json": {"example": example}}}


def errors(*statuses: int, model: type[BaseModel] = ErrorModel) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, in the documents' form, with those that any route may have."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 422, 429, 500}):
        description, code, message = _DESCRIBED[status]
        found[status] = error_answer(description, code, message, model=model)
    return found


def json_body(schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    """A body for ``openapi_extra``."""
    shown = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": shown}}}}
