"""``POST /v1/events``."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from meterline_api import examples, metrics
from meterline_api.answers import Accepted, EventStatus, statuses
from meterline_api.auth import authenticated
from meterline_api.bodies import read_body
from meterline_api.cloudevents import read_cloudevents
from meterline_api.door import MAX_KEY, Admitted, Refused, judge
from meterline_api.models import AcceptedModel
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.submissions import Form, Submission, UnknownFormError, UnreadableBodyError, form_of, read_native
from meterline_schemas.errors import MeterlineError
from meterline_schemas.reading import InvalidLine

router = APIRouter(dependencies=[Depends(authenticated)])

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
    **400**: none can count. **503**: Kafka did not answer for the events with status `unknown`: send the request again
    as it is, an id counts once however often it arrives.

    Every event needs an `id` that stays the same when it is sent again, or the request an `Idempotency-Key`: ids are
    then derived from the key and the event's place in the request. A missing `timestamp` is the time of the request.
    Whether its metric is defined and whether it is a repeat is decided when an event is counted: `rejected_events`
    lists what was rejected then.
    """
    service: Service = request.app.state.service
    key = _idempotency_key(request)
    form = _form(request)
    submissions = _read(form, await read_body(request, service.settings.max_body_bytes))
    if not submissions:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.NO_EVENTS, "the request has no events")
    if len(submissions) > service.settings.max_events:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            Code.TOO_MANY_EVENTS,
            f"{len(submissions)} events in one request, at most {service.settings.max_events} are taken: "
            "send them in parts",
        )
    return await _send(service, judge(submissions, key, datetime.now(UTC), service.window))


async def _send(service: Service, verdicts: list[Admitted | Refused]) -> Response:
    lines = [verdict.line for verdict in verdicts if isinstance(verdict, Admitted)]
    trouble: str | None = None
    acknowledged: list[bool] = []
    if lines:
        try:
            acknowledged = await service.send(lines)
        except MeterlineError as error:
            trouble, acknowledged = str(error), [False] * len(lines)
    events = list(statuses(verdicts, acknowledged))
    accepted, invalid = sum(acknowledged), len(verdicts) - len(lines)
    unknown = len(lines) - accepted
    for outcome, number in (("accepted", accepted), ("invalid", invalid), ("unknown", unknown)):
        if number:
            metrics.EVENTS.labels(outcome).inc(number)
    if unknown:
        raise _unavailable(trouble, unknown, events)
    if not lines:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            Code.INVALID_EVENTS,
            _first(events),
            events=events,
        )
    return Response(_encode(Accepted(accepted, invalid, events)), HTTPStatus.ACCEPTED, media_type=_JSON)


def _unavailable(trouble: str | None, unknown: int, events: list[EventStatus]) -> Problem:
    detail = trouble or f"Kafka did not acknowledge {unknown} of {len(events)} events in time"
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.KAFKA_UNAVAILABLE,
        f"{detail}; send the same request again, with the same ids",
        headers=_RETRY,
        events=events,
    )


def _first(events: list[EventStatus]) -> str:
    first = events[0]
    if len(events) == 1:
        return first.detail or ""
    return f"none of the {len(events)} events can count; the first: {first.detail}"


def _idempotency_key(request: Request) -> str | None:
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


def _read(form: Form, body: bytes) -> list[Submission | InvalidLine]:
    try:
        if form in (Form.CLOUDEVENT, Form.CLOUDEVENTS):
            return read_cloudevents(form, body)
        return read_native(form, body)
    except UnreadableBodyError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, f"the body is not {form}: {error}") from None
