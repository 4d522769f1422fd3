"""``/v1/billing/accruals``: what was earned up to a cut-off and stands on no invoice yet."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.billing.accruals.models import ANSWERS, AccrualPage, row_of
from meterline_api.billing.accruals.reading import AccrualReader
from meterline_api.opaque import opaque, plain
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.MANAGE_FINANCE)])

_FIRST: Final = datetime(1971, 1, 1, tzinfo=UTC)


@router.get(
    "/v1/billing/accruals",
    response_model=AccrualPage,
    responses=ANSWERS,
    summary="List what is accrued and not invoiced at a cut-off",
)
async def list_accruals(
    request: Request,
    at: Annotated[AwareDatetime | None, Query(description="The cut-off, a whole second; by default now.")] = None,
    as_of: Annotated[
        AwareDatetime | None,
        Query(description="Only events that were received by then: the same answer each time. By default all."),
    ] = None,
    tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Tenants in one answer.")] = 100,
    cursor: Cursor = None,
) -> Response:
    """What each tenant's open periods came to by the cut-off, by charge, as if they ended there.

    Base fee, included quantity, minimum, cap and tiers are taken for the share of the period that has passed. What an
    invoice tells that was issued by the cut-off is left out, but for what changed since it was closed. At the end of a
    period it is what the invoice of the period will have. Tenants that are never invoiced are left out, and so are the
    days that Stripe's meters charge.
    """
    tenants = tenants_of(request, tenant_id)
    now = datetime.now(UTC)
    cut_off = _instant("at", at or now, now).replace(microsecond=0)
    known = None if as_of is None else _instant("as_of", as_of, now)
    after = "" if cursor is None else plain(cursor)
    if after is None:
        detail = "cursor is none that this server gave; start again without one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, detail)
    reader: AccrualReader = request.app.state.accruals
    chosen = reader.tenants(tenants, after)
    try:
        found = await reader.of(chosen[:limit], cut_off, known)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    answer: dict[str, Any] = {
        "at": cut_off,
        "as_of": known,
        "data": [row_of(each) for each in found.found],
        "problems": found.problems,
    }
    if len(chosen) > limit:
        answer["next_cursor"] = opaque(chosen[limit - 1])
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _instant(name: str, given: datetime, now: datetime) -> datetime:
    """In UTC. Raises Problem where it lies ahead."""
    if not _FIRST <= given <= now:
        detail = f"{name} must lie in the past, in 1971 or later"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, detail)
    return given.astimezone(UTC)
