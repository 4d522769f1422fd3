"""Events that come in as CloudEvents: read, split among the meters, sent, and answered for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import Request

from meterline_api.answers import EventStatus
from meterline_api.bodies import read_body
from meterline_api.openmeter.events import Part, from_binary, parts_of, read_events
from meterline_api.openmeter.meters import Meters
from meterline_api.problems import Code, Problem
from meterline_api.routes.events import admit, take
from meterline_api.service import Service
from meterline_api.submissions import Form, TooManyEventsError, UnknownFormError, UnreadableBodyError, form_of

FORMS = (Form.CLOUDEVENT, Form.CLOUDEVENTS, Form.JSON)


async def ingest(request: Request) -> None:
    """Return once Kafka holds every event of the request.

    Raises:
        Problem: one of them can never count, is not let in, or may not have arrived; the others were taken. Its
            ``events`` has a status for what each event is to each meter, ``index`` being the event's place.
    """
    service: Service = request.app.state.service
    meters: Meters = request.app.state.openmeter
    body = await read_body(request, service.settings.max_body_bytes)
    events = _events(request, body, service.settings.max_events)
    parts = list(parts_of(events, meters, datetime.now(UTC)))
    if not parts:
        return
    try:
        taken = await take(service, admit(request, [part.found for part in parts], None))
    except Problem as problem:
        found = problem.more.get("events")
        if found is not None:
            _place(found, parts)
        raise
    _place(taken.events, parts)
    if taken.invalid:
        raise _partly(HTTPStatus.BAD_REQUEST, Code.INVALID_EVENTS, "invalid", taken.events)
    if taken.refused:
        codes = {status.reason for status in taken.events if status.status == "refused"}
        code = Code.PERMISSION_DENIED if Code.PERMISSION_DENIED in codes else Code.QUOTA_EXCEEDED
        raise _partly(HTTPStatus.FORBIDDEN, code, "refused", taken.events)


def _events(request: Request, body: bytes, most: int) -> list[bytes]:
    try:
        media_type = request.headers.get("content-type", "")
        if "ce-specversion" in request.headers and not media_type.startswith("application/cloudevents"):
            return [from_binary(request.headers, body)]
        form = form_of(media_type)
        if form not in FORMS:
            raise UnknownFormError(f"{form} is not read here; send one of {', '.join(FORMS)}")
        return read_events(form, body, most)
    except UnknownFormError as error:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            Code.UNSUPPORTED_MEDIA_TYPE,
            str(error),
            headers={"Accept-Post": ", ".join(FORMS)},
        ) from None
    except TooManyEventsError as error:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_MANY_EVENTS, str(error)) from None
    except UnreadableBodyError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, f"the body cannot be read: {error}") from None


def _place(statuses: Sequence[EventStatus], parts: Sequence[Part]) -> None:
    for status in statuses:
        status.index = parts[status.index].place


def _partly(status: HTTPStatus, code: Code, outcome: str, events: Sequence[EventStatus]) -> Problem:
    first = next(event for event in events if event.status == outcome)
    number = len({event.index for event in events if event.status == outcome})
    total = len({event.index for event in events})
    detail = f"{number} of {total} events {outcome}, everything else was taken; event {first.index}: {first.detail}"
    return Problem(status, code, detail, events=events)
