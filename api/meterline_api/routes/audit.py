"""``/v1/audit``: who did what."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.listing import AuditQuery, build, read, read_cursor, write_cursor
from meterline_api.audit.models import HEAD, LIST, AuditEntryAnswer, AuditHeadAnswer
from meterline_api.catalog_models import Page
from meterline_api.clickhouse import ClickHouse
from meterline_api.entries import answer
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_schemas.audit.entry import GENESIS
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(dependencies=[needs(Right.MANAGE_FINANCE)], tags=["audit"])


@router.get(
    "/v1/audit",
    response_model=Page[AuditEntryAnswer],
    responses=LIST,
    summary="List the audit log",
)
async def list_audit_entries(
    request: Request,
    actor: Annotated[str | None, Query(max_length=MAX_ID, description="Only what this one did.")] = None,
    action: Annotated[str | None, Query(max_length=128, description="Such as `quota.updated`.")] = None,
    resource_type: Annotated[str | None, Query(max_length=128, description="Such as `quota`.")] = None,
    resource_id: Annotated[str | None, Query(max_length=1000, description="Key of one thing.")] = None,
    tenant_id: Annotated[
        str | None, Query(max_length=MAX_ID, description="Only of this tenant; empty: what is of none.")
    ] = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="From this instant on.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Before this instant.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Who did what, the newest first. An entry is listed about a second after it was written.

    Whoever reaches some tenants only sees what was done to these.
    """
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_CURSOR,
            "cursor is none that this server gave; start again without one",
        )
    tenants = tenants_of(request, tenant_id)
    query = AuditQuery(actor, action, resource_type, resource_id, tenants, start, end, limit, after)
    tables: ClickHouse = request.app.state.service.clickhouse
    try:
        rows = await tables.rows(*build(query))
    except UnavailableError as error:
        raise _unavailable(Code.CLICKHOUSE_UNAVAILABLE, error) from None
    body: dict[str, Any] = {"data": [read(row) for row in rows[:limit]]}
    if len(rows) > limit:
        body["next_cursor"] = write_cursor(rows[limit - 1])
    return answer(body)


@router.get(
    "/v1/audit/head",
    response_model=AuditHeadAnswer,
    responses=HEAD,
    summary="The end of the audit log",
)
async def get_audit_head(request: Request) -> Response:
    """Number and hash of the last entry. Write them down elsewhere: `meterline audit verify --head SEQ:HASH` shows
    later that nothing up to it was changed, not even by somebody who could rewrite everything here."""
    log: AuditLog = request.app.state.audit_log
    try:
        found = await asyncio.to_thread(log.head)
    except UnavailableError as error:
        raise _unavailable(Code.KAFKA_UNAVAILABLE, error) from None
    if found is None:
        return answer({"seq": 0, "hash": GENESIS, "at": None})
    return answer({"seq": found.seq, "hash": found.hash, "at": found.at})


def _unavailable(code: Code, error: UnavailableError) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, str(error), headers={"Retry-After": "5"})
