"""``/v1/billing/exceptions``: what needs a person before billing is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.billing.exceptions.found import Kind, listed
from meterline_api.billing.exceptions.looking import Exceptions
from meterline_api.billing.exceptions.models import ANSWERS, ExceptionPage, read_cursor, row_of, write_cursor
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.MANAGE_FINANCE)])

_FIRST: Final = datetime(1971, 1, 1, tzinfo=UTC)


@router.get(
    "/v1/billing/exceptions",
    response_model=ExceptionPage,
    responses=ANSWERS,
    summary="List what needs a person before billing is whole",
)
async def list_billing_exceptions(
    request: Request,
    kind: Annotated[list[Kind] | None, Query(description="Only these; by default all.")] = None,
    tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
    start: Annotated[
        AwareDatetime | None,
        Query(alias="from", description="Usage from then on; by default from the beginning of the last month."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Usage that nothing charges, tenants without a plan or unknown, what Stripe was not told or did not take, periods
    past their grace that are not closed, and payments that failed. It is looked up anew each time.
    """
    tenants = tenants_of(request, tenant_id)
    now = datetime.now(UTC)
    if start is not None and not _FIRST <= start < now:
        detail = "from must lie in the past, in 1971 or later"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, detail)
    since = None if start is None else start.astimezone(UTC).replace(microsecond=0)
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        detail = "cursor is none that this server gave; start again without one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, detail)
    exceptions: Exceptions = request.app.state.exceptions
    try:
        found, last = listed(await exceptions.all(kind or tuple(Kind), tenants, now, since), after, limit)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    answer: dict[str, Any] = {"data": [row_of(each) for each in found]}
    if last is not None:
        answer["next_cursor"] = write_cursor(last)
    return Response(msgspec.json.encode(answer), media_type="application/json")
