"""``GET /v1/exports/…``: whole tables as files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime
from pydantic import WithJsonSchema as Shown

from meterline_api.access.guard import needs, require, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.billing.exporting.as_of import AsOf, AsOfError, read_as_of
from meterline_api.exports import examples
from meterline_api.exports.answer import Pull, answer
from meterline_api.exports.bounds import BoundsError, bounds
from meterline_api.exports.past import LEDGER, settled
from meterline_api.exports.selection import Selection, definitions
from meterline_api.exports.tables import EVENTS, REJECTED, USAGE, Table
from meterline_api.formats.chosen import format_of
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.usage.query import Window
from meterline_api.usage.windows import DURATIONS
from meterline_schemas.audit.entry import instant
from meterline_schemas.errors import UnavailableError
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
_AsOf = Annotated[
    str | None,
    Query(
        max_length=8192,
        description="Of the events that had come by then: an instant, or `Meterline-As-Of` of an earlier answer.",
    ),
]
_Since = Annotated[
    str | None,
    Query(max_length=8192, description="Only rows that changed since: `Meterline-As-Of` of the last pull."),
]
AS_OF: Final = "Meterline-As-Of"
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
    as_of: _AsOf = None,
    since: _Since = None,
) -> Response:
    """A row for each tenant, metric and window, late events included, in the order of these.

    `from` and `to` are whole hours. `value` is the metric's number as it is defined; it is empty where only the events
    can tell it (unique counts, percentiles, gauges), which `GET /v1/usage` answers.

    With `as_of` it is computed from the events that had come by then, and is the same whatever comes later.
    """
    pull = Pull(format, limit, cursor, snapshot, consistent)
    return await _export(request, USAGE, tenant_id, metric, start, end, pull, window, (as_of, since))


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
    moments: tuple[str | None, str | None] = (None, None),
) -> Response:
    """``moments``: as of when, and since when.

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
    said = dict[str, str]()
    if moments != (None, None):
        selection, said = await _past(service, selection, *moments)
        pull = replace(pull, pinned=said)
    found = await answer(request, selection, pull)
    if said:
        found.headers[AS_OF] = said["as_of"]
    await _generated(request, selection, pull, found)
    return found


async def _past(
    service: Service, selection: Selection, as_of: str | None, since: str | None
) -> tuple[Selection, dict[str, str]]:
    """The selection at the positions of these moments, and both as they were found.

    Raises:
        Problem: they are none; 503 where ClickHouse does not answer.
    """
    now = datetime.now(UTC)
    try:
        wanted = AsOf(now) if as_of is None else read_as_of(as_of, LEDGER)
        before = None if since is None else read_as_of(since, LEDGER, "since")
    except AsOfError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, str(error)) from None

    async def pinned(moment: AsOf) -> AsOf:
        if moment.positions is not None:
            return moment
        ended = moment.at < now
        found = await settled(service.clickhouse, selection.start, selection.end, moment.at if ended else None)
        return AsOf(min(moment.at, now), LEDGER, found)

    try:
        wanted, before = await pinned(wanted), None if before is None else await pinned(before)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    said = {"as_of": str(wanted)} | ({} if before is None else {"since": str(before)})
    return replace(selection, positions=wanted.positions, since=None if before is None else before.positions), said


async def _generated(request: Request, selection: Selection, pull: Pull, found: Response) -> None:
    """Write into the audit log that the caller is given an export: each request for one, also for a part of it.

    Raises:
        Problem: 503, it could not be written: the export is not given out.
    """
    if found.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return
    tenants = selection.tenants
    named = {"tenants": tenants, "metric": selection.metric, "window": selection.window, "limit": pull.limit}
    filters: dict[str, Any] = {name: value for name, value in named.items() if value is not None} | dict(pull.pinned)
    for name, moment in (("from", selection.start), ("to", selection.end)):
        filters[name] = instant(datetime.fromtimestamp(moment / 1000, UTC))
    only = tenants[0] if tenants is not None and len(tenants) == 1 else ""
    details = {"filters": filters, "format": pull.format, "whole": found.status_code == HTTPStatus.OK}
    await audit(request, "export.generated", selection.table.name, tenant_id=only, details=details)
