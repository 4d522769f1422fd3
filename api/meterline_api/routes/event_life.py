"""``GET /v1/events/{id}``: the whole life of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.entries import answer
from meterline_api.event_life.desk import Desk, Window
from meterline_api.event_life.examples import LIFE
from meterline_api.event_life.models import EventLives, TotalOfEvent
from meterline_api.event_life.statements import Asked
from meterline_api.problems import Code, Problem
from meterline_api.routes.usage import usage_of
from meterline_api.service import Service
from meterline_api.usage.query import UsageQuery
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(dependencies=[needs(Right.READ_USAGE)], tags=["events"])

_RETRY: Final = {"Retry-After": "1"}


@router.get(
    "/v1/events/{id:path}",
    response_model=EventLives,
    responses=LIFE,
    operation_id="get_event_life",
    summary="The whole life of an event",
)
async def get_event_life(
    request: Request,
    id: Annotated[str, Path(min_length=1, max_length=MAX_ID, description="As its producer made it; may have slashes.")],
    tenant_id: Annotated[str | None, Query(min_length=1, max_length=MAX_ID, description="Only of this tenant.")] = None,
    metric: Annotated[str | None, Query(min_length=1, max_length=MAX_ID, description="Only of this metric.")] = None,
    start: Annotated[
        AwareDatetime | None, Query(alias="from", description="Look among events that happened from this instant on.")
    ] = None,
    end: Annotated[
        AwareDatetime | None, Query(alias="to", description="Look among events that happened before this instant.")
    ] = None,
) -> Response:
    """Every copy of an event that was read, where and when, and what was judged of each; the event as it counts; the
    totals that it is in as they are now; and what was told that it may have contributed to.

    An id is its tenant's own, so several tenants may have one: `data` has an event for each that the caller reaches.
    `from`, `to` and `metric` make the search fast where there are very many events; `from` and `to` do not narrow
    down which rejected copies are shown.

    **404**: with `pending: false` nothing that was acknowledged before the request has this id; with `pending: true`
    it may wait to be judged: ask again. `pending: null`: that cannot be told now.
    """
    service: Service = request.app.state.service
    desk: Desk = request.app.state.event_life
    asked = Asked(id, tenants_of(request, tenant_id), metric, start, end)
    now = datetime.now(UTC)

    async def total(of: str, counted: str, window: Window, first: datetime, last: datetime) -> TotalOfEvent | None:
        rows = (await usage_of(service, UsageQuery(first, last, tenants=(of,), metric=counted), now)).data
        if not rows:
            return None
        return TotalOfEvent(
            window=window,
            start=first,
            end=last,
            aggregation=rows[0].aggregation,
            unit=rows[0].unit,
            value=rows[0].value,
            count=rows[0].count,
        )

    try:
        found = await desk.find(asked, total)
        pending = None
        if found is None:
            pending = await _pending(desk)
            found = await desk.find(asked, total)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    if found is None:
        raise _not_found(id, pending)
    return answer(found.model_dump(mode="json", by_alias=True))


async def _pending(desk: Desk) -> bool | None:
    """Whether events wait to be judged or written; None: that cannot be told now."""
    try:
        passed_on = await desk.passed_on()
    except UnavailableError:
        return None
    return None if passed_on is None else not passed_on


def _not_found(id: str, pending: bool | None) -> Problem:
    why = {
        False: "everything that was acknowledged before this request is judged and written",
        True: "events wait to be judged or written, it may be one of them; ask again in a second",
        None: "whether events wait to be judged cannot be told now; if it was just sent ask again in a second",
    }[pending]
    headers = None if pending is False else _RETRY
    detail = f"there is no event {id[:100]!r}: {why}"
    return Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, detail, headers=headers, pending=pending)
