"""OpenMeter's paths under ``/api/v1``: events in, meters listed and queried, for clients that were written for it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from meterline_api.access.guard import needs
from meterline_api.access.principal import Right
from meterline_api.entries import fields_of, problems
from meterline_api.openmeter import examples
from meterline_api.openmeter.definitions import ordered, shown
from meterline_api.openmeter.ingest import ingest
from meterline_api.openmeter.lookup import Defined, meter_of, meters_of
from meterline_api.openmeter.problems import OpenMeterRoute
from meterline_api.openmeter.query import (
    SUBJECT,
    MeterQuery,
    MeterQueryResult,
    read_parameters,
    read_query,
    result,
    table,
)
from meterline_api.openmeter.usage import found

router = APIRouter(route_class=OpenMeterRoute, tags=["openmeter"])

_READS: Final = [needs(Right.READ_USAGE)]


@router.post(
    "/api/v1/events",
    status_code=204,
    responses=examples.INGEST_ANSWERS,
    openapi_extra=examples.INGEST_REQUEST,
    summary="Send CloudEvents",
    dependencies=[needs(Right.WRITE_EVENTS)],
)
async def ingest_openmeter_events(request: Request) -> Response:
    """Take one CloudEvent or many, and answer once Kafka holds them. `subject` is the tenant; an event counts in every
    meter of its `type`. `source` and `id` identify it: however often it arrives, it counts once.

    **400**: an event can never count; the others were taken, and `events` says of each. **503**: Kafka did not answer
    for all: send the request again as it is.
    """
    await ingest(request)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/api/v1/meters",
    responses=examples.METERS_ANSWERS,
    summary="List meters",
    dependencies=[needs(Right.READ_CATALOG)],
)
async def list_openmeter_meters(
    request: Request,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=1000)] = 100,
    order: Literal["ASC", "DESC"] = "ASC",
    order_by: Annotated[
        Literal["key", "name", "aggregation", "createdAt", "updatedAt"], Query(alias="orderBy")
    ] = "key",
    include_deleted: Annotated[bool, Query(alias="includeDeleted", description="Retired ones too.")] = False,
) -> list[dict[str, Any]]:
    """The metrics of the catalog as meters; a retired one is a deleted one."""
    meters = [shown(*defined) for defined in meters_of(request) if include_deleted or not defined.metric.retired]
    first = (page - 1) * page_size
    return ordered(meters, order_by, descending=order == "DESC")[first : first + page_size]


@router.get(
    "/api/v1/meters/{meter_id_or_slug}",
    responses=examples.METER_ANSWERS,
    summary="Get a meter",
    dependencies=[needs(Right.READ_CATALOG)],
)
async def get_openmeter_meter(request: Request, meter_id_or_slug: str) -> dict[str, Any]:
    """One metric of the catalog as a meter. Its id is its slug."""
    return shown(*meter_of(request, meter_id_or_slug))


@router.get(
    "/api/v1/meters/{meter_id_or_slug}/query",
    response_model=MeterQueryResult,
    responses=examples.QUERY_ANSWERS,
    openapi_extra=examples.QUERY_PARAMETERS,
    summary="Query a meter",
    dependencies=_READS,
)
async def query_openmeter_meter(request: Request, meter_id_or_slug: str) -> Response:
    """Usage of a meter in `[from, to)`, by window and group; with `Accept: text/csv` as a table. Values are exact.

    A row is of a whole window, as its bounds are, but only what lies in the range counts. `subject` is the tenant:
    naming some also tells them apart.
    """
    with problems():
        query = read_parameters(request.query_params.multi_items())
    return await _answer(request, meter_of(request, meter_id_or_slug), query)


@router.post(
    "/api/v1/meters/{meter_id_or_slug}/query",
    response_model=MeterQueryResult,
    responses=examples.QUERY_ANSWERS,
    openapi_extra=examples.QUERY_BODY,
    summary="Query a meter by a body",
    dependencies=_READS,
)
async def query_openmeter_meter_by_body(request: Request, meter_id_or_slug: str) -> Response:
    """As with GET, for questions that are too long for a URL."""
    fields = await fields_of(request)
    with problems():
        query = read_query(fields)
    return await _answer(request, meter_of(request, meter_id_or_slug), query)


@router.get(
    "/api/v1/meters/{meter_id_or_slug}/subjects",
    responses=examples.NAMES_ANSWERS,
    openapi_extra=examples.RANGE_PARAMETERS,
    summary="List the subjects of a meter",
    dependencies=_READS,
)
async def list_openmeter_subjects(request: Request, meter_id_or_slug: str) -> list[str]:
    """Tenants that used it in `[from, to)`, by default ever."""
    return await _names(request, meter_of(request, meter_id_or_slug), SUBJECT)


@router.get(
    "/api/v1/meters/{meter_id_or_slug}/group-by/{group_by_key}/values",
    responses=examples.NAMES_ANSWERS,
    openapi_extra=examples.RANGE_PARAMETERS,
    summary="List the values of a group-by",
    dependencies=_READS,
)
async def list_openmeter_group_by_values(request: Request, meter_id_or_slug: str, group_by_key: str) -> list[str]:
    """Values that its events of `[from, to)`, by default all, have."""
    return await _names(request, meter_of(request, meter_id_or_slug), group_by_key)


async def _answer(request: Request, defined: Defined, query: MeterQuery) -> Response:
    rows = await found(request, defined, query)
    if "text/csv" in request.headers.get("accept", ""):
        name = {"Content-Disposition": f'attachment; filename="{defined.metric.key}.csv"'}
        return Response(table(query, rows), headers=name, media_type="text/csv")
    return Response(result(query, rows), media_type="application/json")


async def _names(request: Request, defined: Defined, group: str) -> list[str]:
    with problems():
        asked = read_parameters((name, text) for name, text in request.query_params.items() if name in ("from", "to"))
        query = read_query({"from": asked.start, "to": asked.end, "groupBy": [group]})
    return sorted(value for row in await found(request, defined, query) if (value := row.groups[group]) is not None)
