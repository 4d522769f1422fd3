"""The document's usage.record and usage.recordBatch: through the same door as ``POST /v1/events``."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta, Struct

from meterline_api.bodies import read_body
from meterline_api.document3 import forms
from meterline_api.documents.shared import answer, read_form
from meterline_api.door import Admitted
from meterline_api.numbers import number
from meterline_api.problems import Code, Problem
from meterline_api.routes.events import admit, idempotency_key, take
from meterline_api.service import Service
from meterline_api.submissions import Submission, UnreadableBodyError, read_array, read_one
from meterline_schemas.catalog import RefusedError
from meterline_schemas.event import Name
from meterline_schemas.reading import UNREADABLE, InvalidLine
from meterline_schemas.reject import Reason


class Recording(Struct, rename="camel", forbid_unknown_fields=True):
    """A UsageRecord as it is sent. ``id`` and ``timestamp`` may be left to the server."""

    metric_key: Name
    subject_type: str
    subject_id: Name
    quantity: msgspec.Raw
    id: Name | None = None
    org_id: Name | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    metadata: msgspec.Raw = msgspec.Raw()


class Batch(Struct, forbid_unknown_fields=True):
    records: list[msgspec.Raw]


_recording: Final[Callable[[bytes], Recording]] = msgspec.json.Decoder(Recording).decode
_batch: Final = msgspec.json.Decoder(Batch)


async def record(request: Request) -> Response:
    service: Service = request.app.state.service
    key = idempotency_key(request) or str(uuid.uuid4())
    found = await read_form(request, _recording)
    (verdict,) = verdicts = admit(request, [_submission(found)], key)
    await take(service, verdicts)
    assert isinstance(verdict, Admitted)  # noqa: S101 - all others were raised
    return answer(_usage_record(verdict))


async def record_batch(request: Request) -> Response:
    service: Service = request.app.state.service
    key = idempotency_key(request) or str(uuid.uuid4())
    body = await read_body(request, service.settings.max_body_bytes)
    try:
        raw = read_array(body) if body.lstrip()[:1] == b"[" else _batch.decode(body).records
    except (UnreadableBodyError, *UNREADABLE) as error:
        raise _unreadable(f'{error}; send {{"records": […]}} or an array') from None
    if not raw:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.NO_EVENTS, "the request has no records")
    if len(raw) > service.settings.max_events:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            Code.TOO_MANY_EVENTS,
            f"{len(raw)} records in one request, at most {service.settings.max_events} are taken: send them in parts",
        )
    submissions = [_submission(read_one(_recording, bytes(item))) for item in raw]
    taken = await take(service, admit(request, submissions, key))
    return answer(
        {"accepted": taken.accepted, "invalid": taken.invalid, "refused": taken.refused, "records": taken.events}
    )


def _submission(found: Recording | InvalidLine) -> Submission | InvalidLine:
    if isinstance(found, InvalidLine):
        return found
    whose = {"subjectType": found.subject_type, "subjectId": found.subject_id, "orgId": found.org_id}
    try:
        tenant_id, subject = forms.scope(whose)
    except RefusedError as refused:
        return InvalidLine(Reason.INVALID_EVENT, str(refused))
    return Submission(
        tenant_id,
        found.metric_key,
        found.quantity,
        found.id,
        found.timestamp,
        subject or None,
        properties=found.metadata,
    )


def _usage_record(admitted: Admitted) -> dict[str, Any]:
    """The event as it was sent to Kafka, as a UsageRecord."""
    event = json.loads(admitted.line[1])
    return {
        "id": event["id"],
        "metricKey": event["metric"],
        **forms.subject(event["tenant_id"], event.get("subject", "")),
        "quantity": number(event["quantity"]),
        "timestamp": event["timestamp"],
        "metadata": event.get("properties", {}),
    }


def _unreadable(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, f"the body is no JSON: {detail}")
