"""``POST /v1/usage/aggregate``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request

from meterline_api.access.guard import needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.announce import Announcer
from meterline_api.entries import model_of
from meterline_api.examples import json_body
from meterline_api.models import UsageAggregateAnswer, UsageAggregateRequest
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.usage import comparison
from meterline_api.usage.aggregate_examples import AGGREGATE_ANSWERS
from meterline_api.usage.comparison import Comparison
from meterline_schemas.errors import UnavailableError
from meterline_schemas.notification import Notification, Type, UsageAggregated, notification
from meterline_schemas.periods import Calendar, Period

router = APIRouter()

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2105, 12, 1, tzinfo=UTC)  # what DateTime holds
_BEGINS: Final = {
    Period.HOURLY: "an hour begins at :00:00 UTC",
    Period.DAILY: "a day begins at 00:00 UTC",
    Period.MONTHLY: "a month begins on the first at 00:00 UTC",
}


@router.post(
    "/v1/usage/aggregate",
    response_model=UsageAggregateAnswer,
    responses=AGGREGATE_ANSWERS,
    openapi_extra=json_body(
        UsageAggregateRequest, {"period_type": "daily", "period_start": "2026-11-01T00:00:00Z", "metric": "orders"}
    ),
    summary="Compute one period again from its events",
    tags=["usage"],
    dependencies=[needs(Right.MANAGE_FINANCE)],
)
async def aggregate_usage(request: Request) -> UsageAggregateAnswer:
    """Counts an hour, day or month (UTC) again from the single events, and compares what comes out with the totals
    that usage is answered from: for each tenant and metric count, sum, min, max and last.

    Nothing is changed by it. That it was done, and what differed, goes out as the notification `usage.aggregated`.
    What is being written at this moment can show as a difference that is gone when it is asked again.
    """
    service: Service = request.app.state.service
    announcer: Announcer = request.app.state.announcer
    asked = await model_of(request, UsageAggregateRequest)
    refuse_unseen(request, asked.tenant_id or "")
    start, end = whole(Period(asked.period_type), asked.period_start)
    if asked.metric is not None and service.catalog.metric(asked.metric) is None:
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"metric {asked.metric!r} is not defined")
    try:
        rows = await service.clickhouse.rows(*comparison.build(start, end, asked.metric, asked.tenant_id))
    except UnavailableError as error:
        raise _unavailable(Code.CLICKHOUSE_UNAVAILABLE, str(error)) from None
    found = comparison.read(rows)
    told = _notification(asked, start, end, found, datetime.now(UTC))
    try:
        await announcer.announce(told)
    except UnavailableError as error:
        raise _unavailable(
            Code.KAFKA_UNAVAILABLE,
            f"{found.compared} were compared and {found.different} differ, but nobody could be told: {error}",
        ) from None
    return UsageAggregateAnswer(
        period_type=asked.period_type,
        period_start=start,
        period_end=end,
        compared=found.compared,
        different=found.different,
        differences=_shown(found),  # type: ignore[arg-type]
        notification_id=told.id,
    )


def whole(period: Period, start: datetime) -> tuple[datetime, datetime]:
    """The period that begins at ``start``.

    Raises:
        Problem: none does.
    """
    try:
        start = start.astimezone(UTC)
    except OverflowError:
        start = _LAST
    if not _FIRST <= start < _LAST:
        raise _refused(f"is {start:%Y-%m-%d}; usage lies between 1970 and 2105")
    first, end = Calendar(period).bounds(start)
    if first != start:
        raise _refused(
            f"is within a period: {_BEGINS[period]}, so write {first:%Y-%m-%dT%H:%M:%SZ} for the one that it lies in"
        )
    return start, end


def _notification(
    asked: UsageAggregateRequest, start: datetime, end: datetime, found: Comparison, now: datetime
) -> Notification:
    data = UsageAggregated(
        period_type=asked.period_type,
        period_start=start,
        period_end=end,
        totals=found.compared,
        differences=_shown(found),
    )
    identity = (asked.period_type, start.isoformat(), asked.metric or "", asked.tenant_id or "", now.isoformat())
    return notification(Type.USAGE_AGGREGATED, now, "", data, identity)


def _shown(found: Comparison) -> list[dict[str, Any]]:
    return [asdict(one) for one in found.differences]


def _refused(detail: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.INVALID_REQUEST,
        f"period_start: {detail}",
        errors=[{"field": "period_start", "detail": detail}],
    )


def _unavailable(code: Code, detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers={"Retry-After": "5"})
