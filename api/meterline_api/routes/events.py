"""``POST /v1/events``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from meterline_api import examples, metrics
from meterline_api.access.direct import DirectRoute
from meterline_api.access.guard import caller, needs
from meterline_api.access.principal import Right
from meterline_api.answers import Accepted, EventStatus, statuses
from meterline_api.bodies import read_body
from meterline_api.cloudevents import read_cloudevents
from meterline_api.door import MAX_KEY, PERMISSION_DENIED, Admitted, Blocked, Verdict
from meterline_api.models import AcceptedModel
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.submissions import (
    Form,
    Submission,
    TooManyEventsError,
    UnknownFormError,
    UnreadableBodyError,
    form_of,
    read_native,
)
from meterline_schemas.errors import MeterlineError
from meterline_schemas.reading import InvalidLine

router = APIRouter(route_class=DirectRoute, dependencies=[needs(Right.WRITE_EVENTS)])

_encode: Final = msgspec.json.Encoder().encode
_JSON: Final = "application/json"
_RETRY: Final = {"Retry-After": "1"}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=AcceptedModel,
    responses=examples.EVENT_ANSWERS,
    openapi_extra=examples.EVENT_REQUEST,
    summary="Send usage events",
    tags=["events"],
)
async def post_events(request: Request) -> Response:
    """Take one event or many, and answer once Kafka holds them.

    **202**: Kafka holds every event with status `accepted`; those with status `invalid` can never count as they are.
    Those with status `refused` were not sent: a threshold with action `block` is reached, or the caller does not reach
    the tenant. **400**: none can count. **403**: none was taken, and some only for such a reason. **503**: Kafka did
    not answer for the events with status `unknown`: send the request again as it is, an id counts once however often
    it arrives.

    Every event needs an `id` that stays the same when it is sent again, or the request an `Idempotency-Key`: ids are
    then derived from the key and the event's place in the request. A missing `timestamp` is the time of the request.
    Whether its metric is defined, its tenant known (where unknown ones are refused) and whether it is a repeat is
    decided when an event is counted: `rejected_events` lists what was rejected then.
    """
    service: Service = request.app.state.service
    key = idempotency_key(request)
    form = _form(request)
    most = service.settings.max_events
    submissions = _read(form, await read_body(request, service.settings.max_body_bytes), most)
    if not submissions:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.NO_EVENTS, "the request has no events")
    taken = await take(service, admit(request, submissions, key))
    return Response(_encode(taken), HTTPStatus.ACCEPTED, media_type=_JSON)


def admit(request: Request, submissions: Sequence[Submission | InvalidLine], key: str | None) -> list[Verdict]:
    """What becomes of each event of a request: whoever takes events over HTTP asks here."""
    service: Service = request.app.state.service
    principal = caller(request)
    return service.judge(
        submissions, key, datetime.now(UTC), None if principal.tenants is None else principal.tenants.__contains__
    )


async def take(service: Service, verdicts: list[Verdict]) -> Accepted:
    """Send what is admitted, and say what became of each event.

    Raises:
        Problem: Kafka did not answer for all of them, or none was taken; with a status for each.
    """
    lines = [verdict.line for verdict in verdicts if isinstance(verdict, Admitted)]
    trouble: str | None = None
    acknowledged: list[bool] = []
    offsets: dict[int, int] = {}
    if lines:
        try:
            acknowledged = await service.send(lines, offsets)
        except MeterlineError as error:
            trouble, acknowledged = str(error), [False] * len(lines)
    events = list(statuses(verdicts, acknowledged))
    accepted, refused = sum(acknowledged), sum(isinstance(verdict, Blocked) for verdict in verdicts)
    unknown, invalid = len(lines) - accepted, len(verdicts) - len(lines) - refused
    for outcome, number in (
        ("accepted", accepted), ("invalid", invalid), ("refused", refused), ("unknown", unknown),
    ):  # fmt: skip
        if number:
            metrics.EVENTS.labels(outcome).inc(number)
    if unknown:
        raise _unavailable(trouble, unknown, events)
    if refused and not lines:
        codes = {verdict.code for verdict in verdicts if isinstance(verdict, Blocked)}
        code = Code.PERMISSION_DENIED if PERMISSION_DENIED in codes else Code.QUOTA_EXCEEDED
        raise Problem(HTTPStatus.FORBIDDEN, code, _first(events, "refused"), events=events)
    if not lines:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_EVENTS, _first(events, "invalid"), events=events)
    places = ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
    return Accepted(accepted, invalid, events, refused, places)


def _unavailable(trouble: str | None, unknown: int, events: list[EventStatus]) -> Problem:
    detail = trouble or f"Kafka did not acknowledge {unknown} of {len(events)} events in time"
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.KAFKA_UNAVAILABLE,
        f"{detail}; send the same request again, with the same ids",
        headers=_RETRY,
        events=events,
    )


def _first(events: list[EventStatus], status: str) -> str:
    first = next(event for event in events if event.status == status)
    if len(events) == 1:
        return first.detail or ""
    return f"none of the {len(events)} events was taken; the first that is {status}: {first.detail}"


def idempotency_key(request: Request) -> str | None:
    """The header ``Idempotency-Key``. Raises Problem where it is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            Code.INVALID_IDEMPOTENCY_KEY,
            f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters; a UUID is right",
        )
    return key


def _form(request: Request) -> Form:
    try:
        return form_of(request.headers.get("content-type", ""))
    except UnknownFormError as error:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            Code.UNSUPPORTED_MEDIA_TYPE,
            str(error),
            headers={"Accept-Post": ", ".join(Form)},
        ) from None


def _read(form: Form, body: bytes, most: int) -> list[Submission | InvalidLine]:
    try:
        if form in (Form.CLOUDEVENT, Form.CLOUDEVENTS):
            return read_cloudevents(form, body, most)
        return read_native(form, body, most)
    except TooManyEventsError as error:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_MANY_EVENTS, str(error)) from None
    except UnreadableBodyError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, f"the body is not {form}: {error}") from None
