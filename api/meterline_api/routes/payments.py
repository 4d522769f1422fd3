"""``/v1/payments``: how payments stand, of our invoices and of those that meters made at Stripe."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.billing.payments.listing import ListQuery, build, read, read_cursor, write_cursor
from meterline_api.billing.payments.models import PaymentAnswer
from meterline_api.catalog_models import Page
from meterline_api.entries import answer, document
from meterline_api.examples import problem
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_api.service import Service
from meterline_schemas.billing.invoice import PaymentState
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.MANAGE_FINANCE)])

PaymentStates = Annotated[
    list[PaymentState] | None,
    Query(max_length=len(PaymentState), description="Only those that stand so; give it once for each."),
]
_AWAY = problem(
    "ClickHouse does not answer.",
    503,
    "Service Unavailable",
    Code.CLICKHOUSE_UNAVAILABLE,
    "ClickHouse at http://clickhouse:8123 does not answer: connection refused",
)


@router.get(
    "/v1/payments", response_model=Page[PaymentAnswer], responses={503: _AWAY}, summary="List payments as they stand"
)
async def list_payments(
    request: Request,
    tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
    state: PaymentStates = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="Invoices made then or later.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Invoices made before.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Every invoice that Stripe told of, the newest first. What failed: `?state=failed&state=retried`."""
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_CURSOR,
            "cursor is none that this server gave; start again without one",
        )
    service: Service = request.app.state.service
    sql, parameters = build(ListQuery(tenants_of(request, tenant_id), tuple(state or ()), start, end, limit, after))
    try:
        found = [read(row) for row in await service.clickhouse.rows(sql, parameters)]
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    body: dict[str, Any] = {"data": [document(each) for each in found[:limit]]}
    return answer({**body, "next_cursor": write_cursor(found[limit - 1])} if len(found) > limit else body)
