"""``/api/metering/{name}``: requirement document 3's commands and queries by their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from meterline_api.access.guard import needs, require
from meterline_api.access.principal import Right
from meterline_api.document3 import definitions, records, usage
from meterline_api.document3.examples import ANSWERS, CALL
from meterline_api.documents.shared import DocumentRoute
from meterline_api.problems import Code, Problem

Operation = Callable[[Request], Awaitable[Response]]


def _with(right: Right, operation: Operation) -> Operation:
    async def checked(request: Request) -> Response:
        require(request, right)
        return await operation(request)

    return checked


COMMANDS: Final[dict[str, Operation]] = {
    "metric.define": _with(Right.ADMINISTER, definitions.define_metric),
    "metric.update": _with(Right.ADMINISTER, definitions.update_metric),
    "metric.delete": _with(Right.ADMINISTER, definitions.delete_metric),
    "usage.record": _with(Right.WRITE_EVENTS, records.record),
    "usage.recordBatch": _with(Right.WRITE_EVENTS, records.record_batch),
    "threshold.create": _with(Right.ADMINISTER, definitions.create_threshold),
    "threshold.update": _with(Right.ADMINISTER, definitions.update_threshold),
    "threshold.delete": _with(Right.ADMINISTER, definitions.delete_threshold),
}
QUERIES: Final[dict[str, Operation]] = {
    "metric.get": _with(Right.READ_CATALOG, definitions.get_metric),
    "metric.list": _with(Right.READ_CATALOG, definitions.list_metrics),
    "usage.get": _with(Right.READ_USAGE, usage.get_usage),
    "usage.getSummary": _with(Right.READ_USAGE, usage.get_summary),
    "usage.export": _with(Right.READ_USAGE, usage.export),
    "threshold.list": _with(Right.READ_CATALOG, definitions.list_thresholds),
}

router = APIRouter(route_class=DocumentRoute, dependencies=[needs(None)], tags=["document 3"])


@router.post("/api/metering/{name}", responses=ANSWERS, openapi_extra=CALL, summary="Call a command or query by name")
async def call_metering(
    request: Request, name: Annotated[str, Path(json_schema_extra={"enum": [*COMMANDS, *QUERIES]})]
) -> Response:
    """One command or query, its fields in a JSON object, in the forms of the requirement document: camelCase,
    enumerations in upper case (taken in any), decimals as JSON numbers, errors as `{"error": {"code", "message",
    "details"}}`. A change is made, or an event held by Kafka, when it is answered.
    """
    operation = COMMANDS.get(name) or QUERIES.get(name)
    if operation is None:
        raise _unknown(name)
    return await operation(request)


@router.get("/api/metering/{name}", responses=ANSWERS, summary="Call a query by name")
async def query_metering(
    request: Request, name: Annotated[str, Path(json_schema_extra={"enum": [*QUERIES]})]
) -> Response:
    """One query, its fields as query parameters."""
    operation = QUERIES.get(name)
    if operation is None and name in COMMANDS:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            Code.METHOD_NOT_ALLOWED,
            f"{name} changes something: send it with POST",
            headers={"Allow": "POST"},
        )
    if operation is None:
        raise _unknown(name)
    return await operation(request)


def _unknown(name: str) -> Problem:
    names = ", ".join([*COMMANDS, *QUERIES])
    return Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"there is no {name[:100]!r}; there are {names}")
