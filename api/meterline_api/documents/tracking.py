"""The documents' ways to track: through the same door as ``POST /v1/events``, and readable when it is answered."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from fastapi import Request

from meterline_api.access.guard import refuse_unseen
from meterline_api.documents.settling import Settling
from meterline_api.documents.shared import service_of
from meterline_api.door import Admitted
from meterline_api.numbers import number
from meterline_api.routes.events import admit, idempotency_key, take
from meterline_api.submissions import Submission
from meterline_schemas.reading import InvalidLine

ONE: Final = msgspec.Raw(b"1")


@dataclass(frozen=True)
class Tracked:
    """An event as it was sent to Kafka. ``quantity`` is a plain decimal."""

    id: str
    tenant_id: str
    metric: str
    subject: str
    quantity: str
    timestamp: datetime
    properties: dict[str, Any]

    @property
    def number(self) -> msgspec.Raw:
        return number(self.quantity)


async def track(request: Request, submissions: Sequence[Submission | InvalidLine]) -> list[Tracked]:
    """Take events, wait a moment until they count, and say what was sent. What cannot count is left out.

    Raises:
        Problem: none was taken, a tenant is not the caller's, or Kafka did not answer.
    """
    for submission in submissions:
        if isinstance(submission, Submission):
            refuse_unseen(request, submission.tenant_id)
    verdicts = admit(request, submissions, idempotency_key(request) or str(uuid.uuid4()))
    await take(service_of(request), verdicts)
    settling: Settling = request.app.state.settling
    await settling.wait()
    return [_tracked(verdict) for verdict in verdicts if isinstance(verdict, Admitted)]


def _tracked(admitted: Admitted) -> Tracked:
    event = json.loads(admitted.line[1])
    return Tracked(
        event["id"],
        event["tenant_id"],
        event["metric"],
        event.get("subject", ""),
        event["quantity"],
        datetime.fromisoformat(event["timestamp"]),
        event.get("properties", {}),
    )
