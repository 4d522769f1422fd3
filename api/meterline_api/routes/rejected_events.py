"""``/v1/rejected-events``: what does not count and why, how much of it, and judging it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, ValidationError

from meterline.records import Line
from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.bodies import read_body
from meterline_api.entries import answer, document
from meterline_api.problems import Code, Problem
from meterline_api.rejected import counting
from meterline_api.rejected.examples import COUNTS, LIST, REPLAY, REPLAY_REQUEST
from meterline_api.rejected.models import (
    RejectedCounts,
    RejectedPage,
    ReplayAnswer,
    ReplayRequest,
    ReplaySkipped,
)
from meterline_api.rejected.places import LIMITS, Place, instant_of, milliseconds, read_numbers, write_numbers
from meterline_api.rejected.replaying import Cursor as ReplayCursor
from meterline_api.rejected.replaying import CursorError as ReplayCursorError
from meterline_api.rejected.replaying import Outcome, Replay
from meterline_api.rejected.statements import Asked, CountQuery, Group, Step, between, counts, newest, read
from meterline_api.routes.parameters import Cursor
from meterline_api.service import Service
from meterline_api.usage.query import CursorError
from meterline_schemas.errors import MeterlineError, UnavailableError
from meterline_schemas.event import MAX_ID
from meterline_schemas.reject import Reason
from meterline_schemas.replaying import DEFAULT_REASONS, REFUSED

router = APIRouter(dependencies=[needs(Right.READ_USAGE)], tags=["events"])

_MAX_BYTES: Final = 256 * 1024
_WEEK: Final = timedelta(days=7)
_ALWAYS: Final = Place(0, 0, 0, 0)

_Reasons = Annotated[list[Reason], Query(max_length=20, description="Only rejected for these.")]
_Tenant = Annotated[str | None, Query(min_length=1, max_length=MAX_ID, description="Only those of this tenant.")]
_Metric = Annotated[
    str | None, Query(max_length=MAX_ID, description="Only of this metric; empty: where it could not be read.")
]
_Id = Annotated[str | None, Query(max_length=MAX_ID, description="Only events with this id.")]
_From = Annotated[AwareDatetime | None, Query(alias="from", description="Received from this instant on.")]
_To = Annotated[AwareDatetime | None, Query(alias="to", description="Received before this instant.")]


@router.get(
    "/v1/rejected-events",
    response_model=RejectedPage,
    response_model_exclude_unset=True,
    responses=LIST,
    operation_id="list_rejected_events",
    summary="What does not count, and why",
)
async def list_rejected_events(
    request: Request,
    reason: _Reasons = [],  # noqa: B006 - FastAPI copies it
    tenant_id: _Tenant = None,
    metric: _Metric = None,
    id: _Id = None,
    start: _From = None,
    end: _To = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
) -> Response:
    """Lines that do not count, the newest first: each with where it came from, why, and as it came.

    A copy of an event that counts already is one of them (`duplicate`). Lines whose tenant could not be read are
    shown to callers that reach all tenants. A line is listed about a second after it was acknowledged.
    """
    service: Service = request.app.state.service
    asked = Asked(tuple(reason), tenants_of(request, tenant_id), metric, id, start, end)
    after = None
    if cursor is not None:
        numbers = read_numbers(cursor, len(Place._fields))
        after = None if numbers is None else Place(*numbers)
        if after is None or not after.holds:
            raise _no_cursor()
    try:
        found = [Place(*row) for row in await service.clickhouse.rows(*newest(asked, limit, after), LIMITS)]
        shown = found[:limit]
        rows = await service.clickhouse.rows(*between(asked, shown[0], shown[-1]), LIMITS) if shown else []
    except UnavailableError as error:
        raise _no_tables(error) from None
    body: dict[str, Any] = {"data": [document(read(row)) for row in rows]}
    return answer({**body, "next_cursor": write_numbers(shown[-1])} if len(found) > limit else body)


@router.get(
    "/v1/rejected-events/counts",
    response_model=RejectedCounts,
    response_model_exclude_unset=True,
    responses=COUNTS,
    operation_id="count_rejected_events",
    summary="How much does not count",
)
async def count_rejected_events(
    request: Request,
    window: Annotated[Step | None, Query(description="A row for each; without it one for the whole time.")] = None,
    group_by: Annotated[list[Group], Query(max_length=20, description="Tell rows apart by these.")] = [Group.REASON],  # noqa: B006
    reason: _Reasons = [],  # noqa: B006
    tenant_id: _Tenant = None,
    metric: _Metric = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="By default a week before `to`.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Not included. By default now.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: Cursor = None,
) -> RejectedCounts:
    """How many lines were rejected in `[from, to)`, by the time at which the broker took them, exactly.

    Hours and days are those of UTC; one that the range cuts is counted for the part inside.
    """
    service: Service = request.app.state.service
    last = milliseconds(datetime.now(UTC) if end is None else end)
    first = milliseconds(start) if start is not None else max(last - _WEEK // timedelta(milliseconds=1), 0)
    if first >= last:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, "from must be before to, both from 1970 on")
    asked = Asked(tuple(reason), tenants_of(request, tenant_id), metric, None, instant_of(first), instant_of(last))
    try:
        after = None if cursor is None else counting.read_cursor(cursor, group_by)
    except CursorError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, str(error)) from None
    query = CountQuery(asked, window, tuple(group_by), limit, after)
    try:
        rows = await service.clickhouse.rows(*counts(query), LIMITS)
    except UnavailableError as error:
        raise _no_tables(error) from None
    return counting.answer(query, instant_of(first), instant_of(last), rows)


@router.post(
    "/v1/rejected-events/replay",
    response_model=ReplayAnswer,
    responses=REPLAY,
    openapi_extra=REPLAY_REQUEST,
    operation_id="replay_rejected_events",
    summary="Judge rejected events again",
    dependencies=[needs(Right.ADMINISTER)],
)
async def replay_rejected_events(request: Request) -> Response:
    """Send rejected lines again, to be judged anew: after their metric or tenant was defined, or the window of times
    widened.

    **200**: Kafka holds every line that was to be sent; what becomes of each is judged by the stream like anything
    else. A line keeps its id and timestamp, so that it counts once however often it is replayed. Those that count
    already, or would be rejected again, are left out and said so. With more lines than `limit` the answer has a
    `next_cursor`; what is rejected again meanwhile is no part of it. The audit log says who asked.
    """
    service: Service = request.app.state.service
    wanted = _read(await read_body(request, _MAX_BYTES))
    tenants = tenants_of(request, wanted.tenant_id)
    reasons = _reasons(wanted)
    try:
        default = ReplayCursor(milliseconds(datetime.now(UTC)), _ALWAYS)
        cursor = default if wanted.cursor is None else ReplayCursor.read(wanted.cursor)
    except ReplayCursorError:
        raise _no_cursor() from None
    end = cursor.end if wanted.end is None else min(cursor.end, wanted.end)
    way = None if wanted.dry_run else _Way(service)
    run = Replay(service.clickhouse, service.catalog.book.metrics, way, service.counted)
    asked = Asked(reasons, tenants, wanted.metric, None, wanted.start, wanted.end if wanted.places else end)
    if not wanted.dry_run:
        details = wanted.model_dump(mode="json", by_alias=True, exclude_unset=True)
        await audit(request, "rejected_events.replayed", "rejected_events", "", wanted.tenant_id or "", details)
    try:
        if wanted.places:
            await run.named(asked, [(at.partition, at.offset, at.line) for at in wanted.places])
        else:
            await run.all(asked, wanted.limit, cursor)
    except UnavailableError as error:
        raise _no_tables(error, replayed=run.outcome.replayed) from None
    missing = run.outcome.chosen - run.outcome.replayed
    if missing and not wanted.dry_run:
        raise _no_kafka(
            f"Kafka did not acknowledge {missing} of {run.outcome.chosen} lines in time", run.outcome.replayed
        )
    return answer(document(_shown(run.outcome, wanted.dry_run)))


class _Way:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._sent = 0

    async def send(self, lines: Sequence[Line]) -> list[bool]:
        """Raises Problem where nothing was sent."""
        try:
            taken = await self._service.send(lines)
        except MeterlineError as error:
            raise _no_kafka(str(error), self._sent) from None
        self._sent += sum(taken)
        return taken


def _read(body: bytes) -> ReplayRequest:
    try:
        return ReplayRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        problems = [
            (".".join(map(str, found["loc"]))[:100], str(found["msg"])[:300])
            for found in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        raise _wrong(*problems) from None


def _reasons(wanted: ReplayRequest) -> tuple[Reason, ...]:
    """Raises Problem where judging again can change nothing."""
    if wanted.cursor is not None and wanted.places:
        raise _wrong(("cursor", "places need none: all of them are looked at"))
    refused = [reason for reason in wanted.reasons or () if reason in REFUSED]
    if refused:
        raise _wrong(*(("reasons", f"{reason} cannot be replayed: {REFUSED[reason]}") for reason in refused))
    return tuple(wanted.reasons) if wanted.reasons else () if wanted.places else DEFAULT_REASONS


def _shown(outcome: Outcome, dry_run: bool) -> ReplayAnswer:
    skipped = [
        ReplaySkipped(reason=reason, detail=detail, count=count)
        for (reason, detail), count in outcome.skipped.most_common()
    ]
    return ReplayAnswer(
        dry_run=dry_run,
        matched=outcome.matched,
        chosen=outcome.chosen,
        replayed=outcome.replayed,
        skipped=skipped,
        undefined_metrics=sorted(outcome.undefined),
        undefined_tenants=sorted(outcome.undefined_tenants),
        not_found=outcome.not_found,
        next_cursor=None if outcome.following is None else outcome.following.write(),
    )


def _wrong(*problems: tuple[str, str]) -> Problem:
    detail = "; ".join(f"{field}: {detail}" if field else detail for field, detail in problems)
    errors = [{"field": field, "detail": detail} for field, detail in problems]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, detail, errors=errors)


def _no_cursor() -> Problem:
    detail = "cursor is none that this server gave; start again without one"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, detail)


def _no_tables(error: UnavailableError, **more: Any) -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.CLICKHOUSE_UNAVAILABLE,
        str(error),
        headers={"Retry-After": "5"},
        **more,
    )


def _no_kafka(why: str, replayed: int) -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.KAFKA_UNAVAILABLE,
        f"{why}; replay again: what Kafka has counts once",
        headers={"Retry-After": "1"},
        replayed=replayed,
    )
