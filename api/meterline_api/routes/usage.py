"""``GET /v1/usage``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime

from meterline_api import examples
from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.models import UsageAnswer, UsageRow
from meterline_api.problems import Code, Problem
from meterline_api.queries import (
    CursorError,
    Dimension,
    Numbers,
    UsageQuery,
    Window,
    bounds,
    read_cursor,
    write_cursor,
)
from meterline_api.routes import aggregate
from meterline_api.service import Service
from meterline_api.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(dependencies=[needs(Right.READ_USAGE)])
router.include_router(aggregate.router)

_HOUR = timedelta(hours=1)
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)  # what DateTime holds
_Name = Annotated[str | None, Query(min_length=1, max_length=MAX_ID)]


@router.get(
    "/v1/usage",
    response_model=UsageAnswer,
    response_model_exclude_unset=True,
    responses=examples.USAGE_ANSWERS,
    summary="Usage of tenants and metrics",
    tags=["usage"],
)
async def get_usage(
    request: Request,
    tenant_id: _Name = None,
    metric: _Name = None,
    subject: Annotated[
        str | None,
        Query(max_length=MAX_ID, description="Only of this user or project; empty: only events without one."),
    ] = None,
    start: Annotated[
        AwareDatetime | None,
        Query(alias="from", description="A whole hour. By default the start of the month that `to` ends."),
    ] = None,
    end: Annotated[
        AwareDatetime | None,
        Query(alias="to", description="A whole hour, not included. By default the end of this hour."),
    ] = None,
    window: Annotated[Window | None, Query(description="A row for each; without it one for the whole range.")] = None,
    group_by: Annotated[
        list[Dimension], Query(description="Tell rows apart by these as well. A metric always has rows of its own.")
    ] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: Annotated[str | None, Query(max_length=4096, description="`next_cursor` of the answer before.")] = None,
) -> UsageAnswer:
    """What was used in `[from, to)`, late events included, as each metric is aggregated. All times are UTC.

    The number of a window is computed for that window: a day's average, maximum, percentile or unique count is that of
    its events and not of its hours. A `time_weighted` metric is the reading of a gauge, one for each tenant and
    subject, which holds until the next; its number is in unit x hours, up to now at most, and groups are sums over
    their gauges.

    Usage is kept by the hour, so `from` and `to` are whole hours; a day or month that they cut is answered for the
    part inside, and each row says which part that is. Without `tenant_id`, and not grouped by it, all tenants that
    the caller reaches are taken together.
    """
    service: Service = request.app.state.service
    now = datetime.now(UTC)
    first, last = range_of(start, end, now)
    if metric is not None and service.catalog.metric(metric) is None:
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"metric {metric!r} is not defined")
    query = UsageQuery(first, last, window, tenants_of(request, tenant_id), metric, subject, tuple(group_by), limit)
    if cursor is not None:
        try:
            query = dataclasses.replace(query, after=read_cursor(cursor, query))
        except CursorError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, str(error)) from None
    return await usage_of(service, query, now)


async def usage_of(service: Service, query: UsageQuery, now: datetime) -> UsageAnswer:
    """One page of usage.

    Raises:
        Problem: ClickHouse does not answer.
    """
    metrics = service.catalog.book.metrics  # the same for the question and the answer, whatever changes meanwhile
    try:
        rows = await service.clickhouse.rows(*build(query, metrics, now))
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    return answer(query, rows, metrics)


def answer(query: UsageQuery, rows: Sequence[Sequence[Any]], metrics: Mapping[str, Metric]) -> UsageAnswer:
    """Rows as ClickHouse gives them, as callers see them."""
    width = len(query.key) + 1
    shown = rows[: query.limit]
    given: dict[str, Any] = {"start": query.start, "end": query.end, "window": query.window}
    if len(rows) > query.limit:
        given["next_cursor"] = write_cursor(shown[-1][:width])
    return UsageAnswer(**given, data=[_row(query, row, width, metrics) for row in shown])


def _row(query: UsageQuery, row: Sequence[Any], width: int, metrics: Mapping[str, Metric]) -> UsageRow:
    names = {dimension.value: name for dimension, name in zip(query.key, row[1:width], strict=True)}
    first, last = bounds(query, row[0])
    # usage of a metric whose definition is gone from the topic is still usage
    metric = metrics.get(names["metric"]) or Metric(key="unknown", aggregation=Aggregation.SUM)
    numbers = Numbers(*row[width:])
    return UsageRow(
        start=first,
        end=last,
        **names,
        aggregation=metric.aggregation,
        unit=metric.unit,
        value=numbers.value(metric.aggregation),
        count=numbers.count,
    )


def range_of(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """``from`` and ``to`` of a request, with what stands for them where they are not given.

    Raises:
        Problem: they are no range of whole hours.
    """
    last = _hour(now) + _HOUR if end is None else _utc(end)
    first = (last - _HOUR).replace(day=1, hour=0) if start is None else _utc(start)
    for name, instant in (("from", first), ("to", last)):
        if instant != _hour(instant):
            below = _hour(instant)
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                Code.INVALID_RANGE,
                f"{name} must be a whole hour in UTC, such as {below:%Y-%m-%dT%H:%M:%SZ}: usage is kept by the hour",
            )
    if first >= last:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, "from must be before to")
    if first < _FIRST or last > _LAST:
        raise _out_of_range()
    return first, last


def instant_of(instant: datetime) -> datetime:
    """An instant of a request in UTC.

    Raises:
        Problem: no usage can lie there.
    """
    found = _utc(instant)
    if not _FIRST <= found < _LAST:
        raise _out_of_range()
    return found


def _out_of_range() -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, "usage lies between 1970 and 2105")


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _LAST + _HOUR  # refused below


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)
