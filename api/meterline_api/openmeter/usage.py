"""What a meter is asked, as a request for our usage, and its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from meterline_api.access.guard import refuse_unseen, tenants_of
from meterline_api.documents.period_usage import rows_of
from meterline_api.models import UsageRow
from meterline_api.openmeter.definitions import groups
from meterline_api.openmeter.lookup import Defined
from meterline_api.openmeter.problems import wrong
from meterline_api.openmeter.query import SUBJECT, FilterString, Found, MeterQuery
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.usage.answer import limits
from meterline_api.usage.filters import PROPERTY, Filter, FilterError, read_filter
from meterline_api.usage.query import Dimension, UsageQuery
from meterline_api.usage.windows import Window, Zone, edges
from meterline_schemas.errors import UnavailableError

PAGE: Final = 10_000
Document = dict[str, Any]
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)  # what DateTime holds
_SECOND, _HOUR = timedelta(seconds=1), timedelta(hours=1)
_MILLISECOND: Final = timedelta(milliseconds=1)


async def found(request: Request, defined: Defined, query: MeterQuery) -> list[Found]:
    """The rows of the answer, in order of window and group.

    Raises:
        Problem: a parameter is wrong, a subject is not reached, or ClickHouse does not answer.
    """
    service: Service = request.app.state.service
    now = datetime.now(UTC)
    asked = await _asked(request, service, defined, query, now)
    if asked is None:
        return []
    rows = await rows_of(service, asked, now)
    return [_found(row, asked, query) for row in rows]


async def _asked(
    request: Request, service: Service, defined: Defined, query: MeterQuery, now: datetime
) -> UsageQuery | None:
    """The request for usage; None where there is none at all."""
    tenants = tenants_of(request, None)
    for subject in query.subject or ():
        refuse_unseen(request, subject)
    if query.subject:
        tenants = tuple(sorted(set(query.subject)))
    start, end = _bounds(query, now)
    if query.start is None:  # windows before the first usage need not be worked out
        first = await _first(service, defined.metric.key, tenants)
        if first is None or first >= end:
            return None
        start = first
    return UsageQuery(
        _floor(start, _SECOND),
        _ceil(end, _SECOND),
        None if query.window_size is None else Window(query.window_size.lower()),
        tenants,
        defined.metric.key,
        group_by=tuple(_dimension(defined, name) for name in query.groups),
        limit=PAGE,
        zone=query.window_time_zone,
        filter=_filter(defined, query),
    )


async def _first(service: Service, metric: str, tenants: tuple[str, ...] | None) -> datetime | None:
    """The first hour of usage; None where there is none."""
    whose = "" if tenants is None else " AND tenant_id IN {tenants:Array(String)}"
    try:
        ((hour, rows),) = await service.clickhouse.rows(
            f"SELECT toUnixTimestamp(min(hour)), count() FROM usage_hourly WHERE metric = {{metric:String}}{whose}",
            {"metric": metric, **({} if tenants is None else {"tenants": list(tenants)})},
            limits(service.settings),
        )
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    return datetime.fromtimestamp(hour, UTC) if rows else None


def _bounds(query: MeterQuery, now: datetime) -> tuple[datetime, datetime]:
    try:
        start = _FIRST if query.start is None else query.start.astimezone(UTC)
        end = _floor(now, _HOUR) + _HOUR if query.end is None else query.end.astimezone(UTC)
    except OverflowError:
        start, end = _FIRST, _LAST + _SECOND
    if start < _FIRST or end > _LAST:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_RANGE, "usage lies between 1970 and 2105")
    if start >= end:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_RANGE, "from must be before to, and not after now")
    return start, end


def _filter(defined: Defined, query: MeterQuery) -> Filter | None:
    if query.filter_group_by and query.advanced_meter_group_by_filters:
        raise wrong("filterGroupBy", "cannot be used together with advancedMeterGroupByFilters")
    found: list[Document] = []
    for name, values in query.filter_group_by.items():
        field = _offered(defined, "filterGroupBy", name)
        if values:
            found.append(_one_of(field, values))
    for name, conditions in query.advanced_meter_group_by_filters.items():
        found += _conditions(_offered(defined, "advancedMeterGroupByFilters", name), conditions)
    for operator, at in (("gte", query.start), ("lt", query.end)):
        if at is not None and at.microsecond:  # the engine counts whole seconds
            found.append({"timestamp": {operator: _ceil(at.astimezone(UTC), _MILLISECOND).isoformat()}})
    try:
        return read_filter({"and": found}) if found else None
    except FilterError as error:
        raise wrong("filterGroupBy", str(error)) from None


def _conditions(field: str, conditions: FilterString) -> Iterator[Document]:
    if conditions.eq is not None:
        yield _one_of(field, [conditions.eq])
    if conditions.one_of is not None:
        yield _one_of(field, conditions.one_of)
    for value in [*([] if conditions.ne is None else [conditions.ne]), *(conditions.none_of or [])]:
        yield {field: {"ne": value} if value else {"ne": value, "exists": True}}


def _one_of(field: str, values: Sequence[str]) -> Document:
    """An event without the property has the empty text as its value, as in OpenMeter."""
    test = {field: {"in": list(values)}}
    return {"or": [test, {field: {"exists": False}}]} if "" in values else test


def _dimension(defined: Defined, name: str) -> str:
    return Dimension.TENANT_ID.value if name == SUBJECT else _offered(defined, "groupBy", name)


def _offered(defined: Defined, parameter: str, name: str) -> str:
    """The property that a group-by of the meter is."""
    known = groups(*defined)
    if name not in known and (defined.meter is not None or defined.metric.group_by):
        names = ", ".join([SUBJECT, *known] if parameter == "groupBy" else known) or "none"
        raise wrong(parameter, f"{name[:100]!r} is none of this meter's; it has {names}")
    return PROPERTY + name


def _found(row: UsageRow, asked: UsageQuery, query: MeterQuery) -> Found:
    start, end = row.start, row.end
    if asked.window is not None:
        second = int(start.timestamp())
        first, last = edges(asked.window, Zone(asked.zone or "UTC"), second, second + 1)[:2]
        start, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    else:
        start, end = query.start or start, query.end or end
    properties = row.properties or {}
    values = {name: row.tenant_id if name == SUBJECT else properties.get(name) for name in query.groups}
    return Found(row.value, start, end, values)


def _floor(at: datetime, unit: timedelta) -> datetime:
    return at - (at - _FIRST) % unit


def _ceil(at: datetime, unit: timedelta) -> datetime:
    return at + (_FIRST - at) % unit
