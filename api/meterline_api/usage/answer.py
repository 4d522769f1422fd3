"""Usage as the routes answer it: the entrance for everybody who needs numbers, whatever path they are asked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from meterline_api.clickhouse import TooLargeError
from meterline_api.models import UsageAnswer, UsagePrevious, UsageRow
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.settings import ApiSettings
from meterline_api.usage.filters import PROPERTY, metrics_of
from meterline_api.usage.parts import Part, PartsError, parts_of
from meterline_api.usage.query import Numbers, UsageQuery, change_percent, property_of, write_cursor
from meterline_api.usage.ranking import ADDS_UP
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.errors import UnavailableError
from meterline_schemas.quantity import exact_nano, format_nano

_NUMBERS: Final = 6  # columns of Numbers
_RETRY: Final = {"Retry-After": "5"}
_UNKNOWN: Final = Metric(key="unknown", aggregation=Aggregation.SUM)


async def usage_of(service: Service, query: UsageQuery, now: datetime) -> UsageAnswer:
    """One page of usage.

    Raises:
        Problem: ClickHouse does not answer, the query is too large, or one of its metrics does not offer what it is
            grouped by.
    """
    book = service.catalog.book  # the same for the question and the answer, whatever changes meanwhile
    refuse_what_is_not_offered(query, book.metrics)
    try:
        parts = parts_of(query, book)
    except PartsError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, str(error)) from None
    statement, parameters = build(query, book.metrics, now, parts)
    try:
        rows = await service.clickhouse.rows(statement, parameters, limits(service.settings))
    except TooLargeError as error:
        raise _too_large(str(error)) from None
    except UnavailableError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers=_RETRY) from None
    if query.top is not None and len(rows) > query.limit:
        raise _too_large(f"the answer has more than {query.limit:,} rows")
    return answer(query, rows, book.metrics, parts)


def limits(settings: ApiSettings) -> dict[str, str | int]:
    """What one query may need, besides its time."""
    return {"max_memory_usage": settings.query_max_memory, "max_rows_to_read": settings.query_max_rows}


def refuse_what_is_not_offered(query: UsageQuery, metrics: Mapping[str, Metric]) -> None:
    """A metric that names the properties to group by is grouped by no other; one that names none by any.

    Raises:
        Problem: 422.
    """
    names = [name.removeprefix(PROPERTY) for name in query.key if name.startswith(PROPERTY)]
    asked = {query.metric} if query.metric is not None else metrics_of(query.filter)
    for metric in sorted(metrics.values(), key=lambda one: one.key) if names else ():
        seen = not metric.tenant_id or query.tenants is None or metric.tenant_id in query.tenants
        if not seen or not metric.group_by or metric.key not in (asked if asked is not None else {metric.key}):
            continue
        for name in names:
            if name not in metric.group_by:
                offered = ", ".join(PROPERTY + each for each in metric.group_by)
                raise invalid(
                    "group_by", f"metric {metric.key!r} is not grouped by {PROPERTY}{name[:100]}; it offers {offered}"
                )


def answer(
    query: UsageQuery, rows: Sequence[Sequence[Any]], metrics: Mapping[str, Metric], parts: Sequence[Part]
) -> UsageAnswer:
    """Rows as ClickHouse gives them, as callers see them."""
    width = len(query.key) + 1
    shown = rows[: query.limit]
    given: dict[str, Any] = {"start": query.start, "end": query.end, "window": query.window}
    if query.zone is not None:
        given["timezone"] = query.zone
    if len(rows) > query.limit:
        given["next_cursor"] = write_cursor(shown[-1][:width])
    if query.other:
        return UsageAnswer(**given, data=list(_with_others(query, shown, metrics, parts)))
    return UsageAnswer(**given, data=[_row(query, row, metrics, parts) for row in shown])


def _row(query: UsageQuery, row: Sequence[Any], metrics: Mapping[str, Metric], parts: Sequence[Part]) -> UsageRow:
    width = len(query.key) + 1
    names: dict[str, Any] = {}
    for name, value in zip(query.key, row[1:width], strict=True):
        if name.startswith(PROPERTY):
            names.setdefault("properties", {})[name.removeprefix(PROPERTY)] = property_of(value)
        else:
            names[name] = value
    # usage of a metric whose definition is gone from the topic is still usage
    metric = metrics.get(names["metric"]) or _UNKNOWN
    part = next(part for part in parts if len(parts) == 1 or part.has(names.get("tenant_id")))
    place = part.cut.place(row[0])
    first, last = part.cut.bounds(place)
    numbers = Numbers(*row[width : width + _NUMBERS])
    value = numbers.value(metric.aggregation)
    if query.compare:
        before = Numbers(*row[width + _NUMBERS : width + 2 * _NUMBERS])
        old = before.value(metric.aggregation)
        start, end = map(_instant, part.before.bounds(place))
        names["previous"] = UsagePrevious(start=start, end=end, value=old, count=before.count)
        names["change_percent"] = change_percent(value, old)
    return UsageRow(
        start=_instant(first),
        end=_instant(last),
        **names,
        aggregation=metric.aggregation,
        unit=metric.unit,
        value=value,
        count=numbers.count,
    )


def _with_others(
    query: UsageQuery, rows: Sequence[Sequence[Any]], metrics: Mapping[str, Metric], parts: Sequence[Part]
) -> Iterator[UsageRow]:
    """After the top rows of each window and metric that adds up, what the rows beside them come to."""
    width = len(query.key) + 1
    place = 1 + query.key.index("metric")
    for _group, found in groupby(rows, lambda row: (row[0], row[place])):
        group = list(found)
        yield from (_row(query, row, metrics, parts) for row in group)
        last = _row(query, group[-1], metrics, parts)
        all_rows, all_events, all_total = group[-1][-3:]
        if last.aggregation not in ADDS_UP or all_rows == len(group):
            continue
        count = all_events - sum(row[width] for row in group)
        total = exact_nano(all_total) - sum(exact_nano(row[width + 1]) for row in group)
        numbers = Numbers(count, format_nano(total), "", "", "")
        rest: dict[str, Any] = {"metric": last.metric, "value": numbers.value(last.aggregation), "other": True}
        yield UsageRow(
            start=last.start, end=last.end, aggregation=last.aggregation, unit=last.unit, count=count, **rest
        )


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def invalid(field: str, detail: str) -> Problem:
    """422 about one parameter."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.INVALID_REQUEST,
        f"{field}: {detail}",
        errors=[{"field": field, "detail": detail}],
    )


def _too_large(why: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.QUERY_TOO_LARGE,
        f"{why}; ask for a shorter range, longer windows, one tenant_id or metric, or fewer group_by",
    )
