"""``/v1/billing/revenue`` and ``/v1/billing/mrr``: what was invoiced, month by month, and what recurs each month."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.billing.exporting.writing import writer
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.revenue import table
from meterline_api.billing.revenue.models import ANSWERS, MrrAnswer, body_of
from meterline_api.billing.revenue.months import PATTERN, month_of, read_month, write_month
from meterline_api.billing.revenue.recurring import recurring
from meterline_api.billing.revenue.store import Group, Wanted, page
from meterline_api.by_catalog import BY_CATALOG
from meterline_api.formats.answer import following, headers_of
from meterline_api.formats.chosen import FORMATS, format_of
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, OfMetric
from meterline_api.service import Service
from meterline_schemas.audit.entry import instant
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.MANAGE_FINANCE)])

_USUAL: Final = 12  # months
_MOST: Final = 10_000
_FIRST, _LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_Tenant = Annotated[str | None, Query(min_length=1, max_length=MAX_ID, description="Only this tenant.")]


@router.get(
    "/v1/billing/revenue",
    response_class=Response,
    responses=table.answers(),
    summary="What was invoiced by month, with growth",
)
async def get_revenue(
    request: Request,
    format: Annotated[Format, format_of(*FORMATS)],
    start: Annotated[
        str | None,
        Query(alias="from", pattern=PATTERN, description="First month; by default twelve months before `to`."),
    ] = None,
    end: Annotated[
        str | None,
        Query(alias="to", pattern=PATTERN, description="Month behind the last; by default this month."),
    ] = None,
    group_by: Annotated[
        list[Group] | None, Query(description="Tell rows apart by these as well; may be repeated.")
    ] = None,
    tenant_id: _Tenant = None,
    metric: OfMetric = None,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Rows in one answer.")] = 1000,
    cursor: Cursor = None,
) -> Response:
    """All lines of invoices and credit notes by the month in UTC that their periods end in, and by currency.

    A document belongs to the month that lies twelve hours before the end of its period, so that a calendar month is
    that month in every time zone. The total of a row is to the cent that of its documents. Months without lines have
    no row.
    """
    tenants = tenants_of(request, tenant_id)
    last = month_of(datetime.now(UTC)) if end is None else read_month(end)
    first = last - _USUAL if start is None else read_month(start)
    if last <= first:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, "to must lie behind from")
    after = None if cursor is None else table.read_cursor(cursor)
    if cursor is not None and after is None:
        detail = "cursor is none that this server gave; start again without one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, detail)
    groups = frozenset(group_by or ())
    service: Service = request.app.state.service
    try:
        found = await page(service.clickhouse, Wanted(first, last, groups, tenants, metric, after, limit))
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    shown = found[:limit]
    filters = {"from": write_month(first), "to": write_month(last), "group_by": sorted(groups)}
    filters |= {} if metric is None else {"metric": metric}
    await _audited(request, "revenue", tenant_id, {"filters": filters, "format": format, "records": len(shown)})
    next_cursor = table.write_cursor(shown[-1]) if len(found) > limit else None
    into = writer(table.COLUMNS, format, next_cursor)
    body = await asyncio.to_thread(lambda: into.rows(map(table.row_of, shown)) + into.end())
    link = None if next_cursor is None else following(request, cursor=next_cursor)
    headers = headers_of(f"revenue_{write_month(first)}_{write_month(last)}", format, link)
    return Response(body, headers=headers, media_type=format.content_type)


@router.get(
    "/v1/billing/mrr",
    response_model=MrrAnswer,
    responses=ANSWERS,
    dependencies=[BY_CATALOG],
    summary="Monthly recurring revenue at an instant",
)
async def get_mrr(
    request: Request,
    at: Annotated[AwareDatetime | None, Query(description="By default now; it may lie ahead.")] = None,
    tenant_id: _Tenant = None,
) -> Response:
    """The base fees of the plans that billed tenants are on at an instant, by the month: by currency, and by plan.

    A fee of a day is one of 365 / 12 days; a month from a billing anchor is a month. Usage does not recur and is not in
    it. Who is never invoiced by now (`excluded`, or `billing` is `none`) is left out; whom Stripe charges is not.
    """
    tenants = tenants_of(request, tenant_id)
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    if not _FIRST <= moment < _LAST:
        detail = f"at must lie in the years {_FIRST.year} to {_LAST.year - 1}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, detail)
    moment = moment.astimezone(UTC)
    service: Service = request.app.state.service
    invoices: Invoices = request.app.state.invoices
    among = None if tenants is None else frozenset(tenants)
    found = await asyncio.to_thread(recurring, service.catalog.book, moment, among, invoices.settings.rounding)
    await _audited(request, "mrr", tenant_id, {"filters": {"at": instant(moment)}, "records": len(found.found)})
    answer: dict[str, Any] = {
        "at": moment,
        "data": [body_of(each) for each in found.found],
        "problems": found.problems,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def _audited(request: Request, what: str, tenant_id: str | None, details: dict[str, Any]) -> None:
    await audit(request, "billing.report.generated", what, tenant_id=tenant_id or "", details=details)
