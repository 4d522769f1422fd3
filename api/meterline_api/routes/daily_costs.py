"""``/v1/billing/daily-costs``: what each day cost, for graphs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.billing.costs.models import ANSWERS, DayCostPage, read_cursor, row_of, write_cursor
from meterline_api.billing.costs.store import Costs, Wanted
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit, OfMetric
from meterline_api.service import Service
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.READ_USAGE)])

_USUAL: Final = timedelta(days=31)
_FIRST, _LAST = date(1970, 1, 1), date(2149, 6, 6)  # of ClickHouse's Date


@router.get(
    "/v1/billing/daily-costs",
    response_model=DayCostPage,
    responses=ANSWERS,
    summary="List what each day cost, by tenant and metric",
)
async def list_daily_costs(
    request: Request,
    tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
    metric: OfMetric = None,
    start: Annotated[date | None, Query(alias="from", description="First UTC day; by default 31 days ago.")] = None,
    end: Annotated[date | None, Query(alias="to", description="UTC day behind the last; by default today.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Costs by the tenant's plan up to yesterday, as the last run of the job `costs` computed them.

    They are not rounded: the days of a period sum to its price before that is rounded. A day costs what it added to
    the period's price, so it is below 0 where more usage costs less.
    """
    tenants = tenants_of(request, tenant_id)
    last = end or datetime.now(UTC).date()
    first = start or max(last, _FIRST + _USUAL) - _USUAL
    if last <= first:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, "to must lie behind from")
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        detail = "cursor is none that this server gave; start again without one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, detail)
    wanted = Wanted(max(first, _FIRST), max(min(last, _LAST), _FIRST), tenants, metric, after, limit)
    service: Service = request.app.state.service
    try:
        found = await Costs(service.clickhouse).page(wanted)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    answer: dict[str, Any] = {"data": [row_of(each) for each in found[:limit]]}
    if len(found) > limit:
        answer["next_cursor"] = write_cursor(found[limit - 1])
    return Response(msgspec.json.encode(answer), media_type="application/json")
