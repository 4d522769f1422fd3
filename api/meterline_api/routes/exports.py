"""``GET /v1/exports/…``: whole tables as files."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime
from pydantic import WithJsonSchema as Shown

from meterline_api.access.guard import needs, require, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.exports import examples
from meterline_api.exports.answer import Pull, answer
from meterline_api.exports.bounds import BoundsError, bounds
from meterline_api.exports.selection import Selection, definitions
from meterline_api.exports.tables import EVENTS, REJECTED, USAGE, Table
from meterline_api.formats.chosen import format_of
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.usage.query import Window
from meterline_api.usage.windows import DURATIONS
from meterline_schemas.audit.entry import instant
from meterline_schemas.event import MAX_ID

MOST: Final = 100_000
router = APIRouter(prefix="/v1/exports", tags=["exports"], dependencies=[needs(Right.READ_USAGE)])

_Name = Annotated[str | None, Query(min_length=1, max_length=MAX_ID)]
_From = Annotated[
    AwareDatetime | None, Query(alias="from", description="Included. By default the start of the month that `to` ends.")
]
_To = Annotated[AwareDatetime | None, Query(alias="to", description="Not included. By default the end of this hour.")]
_Limit = Annotated[
    int | None,
    Query(ge=1, le=MOST, description="A page of so many rows at most; without it the whole table is one file."),
]
_Cursor = Annotated[
    str | None,
    Query(max_length=8192, description="Rows after this: from `Link` or `next_cursor`, or made of a row's key."),
]
_Snapshot = Annotated[
    str | None, Query(max_length=8192, description="The ETag of a file: these rows as they were then, or 412.")
]
_Consistent = Annotated[
    bool,
    Query(
        description="false: each row as it is when it is read, at once and without ETag, length and resuming by bytes."
    ),
]
_Format = Annotated[Format, format_of(Format.CSV, Format.NDJSON, Format.PARQUET, Format.JSON)]
_WINDOWS: Final = (Window.HOUR, Window.DAY, Window.MONTH)
_DURATIONS: Final = [text for text, window in DURATIONS.items() if window in _WINDOWS]


def _of_totals(window: Window) -> Window:
    if window not in _WINDOWS:
        raise ValueError(f"a file has windows of {', '.join(_WINDOWS)}; GET /v1/usage has all")
    return window


_Window = Annotated[Window, AfterValidator(_of_totals), Shown({"type": "string", "enum": [*_WINDOWS, *_DURATIONS]})]
_HEADERS: Final = {"parameters": examples.parameters()}


@router.get(
    "/usage",
    response_class=Response,
    responses=examples.answers(USAGE),
    openapi_extra=_HEADERS,
    summary="Totals of every tenant and metric as a file",
)
async def export_usage(
    request: Request,
    format: _Format,
    tenant_id: _Name = None,
    metric: _Name = None,
    start: _From = None,
    end: _To = None,
    window: Annotated[_Window, Query(description="A row for each hour, day or month in UTC.")] = Window.DAY,
    limit: _Limit = None,
    cursor: _Cursor = None,
    snapshot: _Snapshot = None,
    consistent: _Consistent = True,
) -> Response:
    """A row for each tenant, metric and window, late events included, in the order of these.

    `from` and `to` are whole hours. `value` is the metric's number as it is defined; it is empty where only the events
    can tell it (unique counts, percentiles, gauges), which `GET /v1/usage` answers.
    """
    pull = Pull(format, limit, cursor, snapshot, consistent)
    return await _export(request, USAGE, tenant_id, metric, start, end, pull, window)


@router.get(
    "/events",
    response_class=Response,
    responses=examples.answers(EVENTS),
    openapi_extra=_HEADERS,
    summary="Every event that counts as a file",
)
async def export_events(
    request: Request,
    format: _Format,
    tenant_id: _Name = None,
    metric: _Name = None,
    start: _From = None,
    end: _To = None,
    limit: _Limit = None,
    cursor: _Cursor = None,
    snapshot: _Snapshot = None,
    consistent: _Consistent = True,
) -> Response:
    """Each event exactly once, in the order of tenant, metric, timestamp and id."""
    return await _export(
        request, EVENTS, tenant_id, metric, start, end, Pull(format, limit, cursor, snapshot, consistent)
    )


@router.get(
    "/rejected-events",
    response_class=Response,
    responses=examples.answers(REJECTED),
    openapi_extra=_HEADERS,
    summary="Every line that does not count as a file",
)
async def export_rejected_events(
    request: Request,
    format: _Format,
    tenant_id: _Name = None,
    metric: _Name = None,
    start: _From = None,
    end: _To = None,
    limit: _Limit = None,
    cursor: _Cursor = None,
    snapshot: _Snapshot = None,
    consistent: _Consistent = True,
) -> Response:
    """Each line once, with the reason, in the order of Kafka. `from` and `to` are about `received_at`."""
    return await _export(
        request, REJECTED, tenant_id, metric, start, end, Pull(format, limit, cursor, snapshot, consistent)
    )


async def _export(
    request: Request,
    table: Table,
    tenant_id: str | None,
    metric: str | None,
    start: datetime | None,
    end: datetime | None,
    pull: Pull,
    window: Window | None = None,
) -> Response:
    """
    Raises:
        Problem: whatever is wrong with the request; 503 where ClickHouse does not answer.
    """
    service: Service = request.app.state.service
    tenants = tenants_of(request, tenant_id)
    if tenants is None:
        require(request, Right.MANAGE_FINANCE)  # a file about everybody
    if metric is not None and table is not REJECTED and service.catalog.metric(metric) is None:
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"metric {metric!r} is not defined")
    try:
        first, last = bounds(start, end, datetime.now(UTC), hours=table is USAGE)
    except BoundsError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, str(error)) from None
    known = service.catalog.book.metrics.values() if table is USAGE else ()
    defined = definitions([(each.key, each.aggregation.value, each.unit) for each in known])
    selection = Selection(table, first, last, tenants, metric, window, None, defined)
    found = await answer(request, selection, pull)
    await _generated(request, selection, pull, found)
    return found


async def _generated(request: Request, selection: Selection, pull: Pull, found: Response) -> None:
    """Write into the audit log that the caller is given an export: each request for one, also for a part of it.

    Raises:
        Problem: 503, it could not be written: the export is not given out.
    """
    if found.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return
    tenants = selection.tenants
    named = {"tenants": tenants, "metric": selection.metric, "window": selection.window, "limit": pull.limit}
    filters: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for name, moment in (("from", selection.start), ("to", selection.end)):
        filters[name] = instant(datetime.fromtimestamp(moment / 1000, UTC))
    only = tenants[0] if tenants is not None and len(tenants) == 1 else ""
    details = {"filters": filters, "format": pull.format, "whole": found.status_code == HTTPStatus.OK}
    await audit(request, "export.generated", selection.table.name, tenant_id=only, details=details)
