"""The judge at the door: what is certain to be rejected is refused at once, by the rules that the stream judges by.

Pure. Whether the metric exists, the tenant is known and the event is a repeat only the stream can say; an event that
passes here may still be rejected there for one of these.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from meterline.encoding import check_size, line_of_event
from meterline.records import Line
from meterline_api.submissions import Submission
from meterline_schemas.event import UsageEvent
from meterline_schemas.reading import InvalidLine
from meterline_schemas.reject import Reason

MAX_KEY: Final = 255
QUOTA_EXCEEDED: Final = "quota_exceeded"
PERMISSION_DENIED: Final = "permission_denied"
_NAMESPACE: Final = uuid.UUID("5c0d4a27-6a0e-5a6f-9f3c-1f6f0f2b7f10")


class Admitted(Struct, gc=False):
    """An event that may be sent, and the id that it goes by."""

    id: str
    line: Line


class Refused(Struct, gc=False):
    """An event that can never count, as it is."""

    id: str | None
    reason: Reason
    detail: str


class Blocked(Struct, gc=False):
    """An event that could count and is not taken, for ``code``: no more may be used, or the sender may not write it.

    The same event may be taken later.
    """

    id: str
    detail: str
    code: str = QUOTA_EXCEEDED


Verdict = Admitted | Refused | Blocked
Barrier = Callable[[str, str, str, datetime], str]
"""Of a tenant, metric and subject (or empty) why no more may be used at an event's time, or nothing."""
Reach = Callable[[str], bool]
"""Whether events of a tenant may be written."""


@dataclass(frozen=True)
class Window:
    """Which event times are taken, from the time of the request."""

    past: timedelta
    future: timedelta


def derived_id(key: str, index: int) -> str:
    """The id of the event at ``index`` of a request with this ``Idempotency-Key``: a UUIDv5, always the same."""
    return str(uuid.uuid5(_NAMESPACE, f"{index}:{key}"))


def judge(
    submissions: Sequence[Submission | InvalidLine],
    key: str | None,
    now: datetime,
    window: Window,
    barrier: Barrier | None = None,
    reach: Reach | None = None,
) -> list[Verdict]:
    """A verdict for each, in order. ``key`` is the request's ``Idempotency-Key``.

    Without ``barrier`` nothing is blocked, without ``reach`` all are reached.
    """
    earliest, latest = now - window.past, now + window.future
    return [
        Refused(None, found.reason, found.detail)
        if isinstance(found, InvalidLine)
        else _one(found, i, key, now, earliest, latest, barrier, reach)
        for i, found in enumerate(submissions)
    ]


def _one(
    found: Submission,
    index: int,
    key: str | None,
    now: datetime,
    earliest: datetime,
    latest: datetime,
    barrier: Barrier | None,
    reach: Reach | None,
) -> Verdict:
    id = found.id
    if id is None:
        if key is None:
            detail = "id is missing: send one that stays the same when you try again, or the header Idempotency-Key"
            return Refused(None, Reason.INVALID_EVENT, detail)
        id = derived_id(key, index)
    if reach is not None and not reach(found.tenant_id):
        return Blocked(id, f"this key or token does not reach tenant {found.tenant_id!r}", PERMISSION_DENIED)
    timestamp = now if found.timestamp is None else found.timestamp
    event = UsageEvent(
        id,
        found.tenant_id,
        found.metric,
        found.quantity,
        timestamp,
        found.subject,
        found.source,
        found.properties,
    )
    try:
        text = line_of_event(event)
        if timestamp < earliest:
            raise InvalidLine(Reason.TOO_OLD, f"timestamp is before {earliest.isoformat()}")
        if timestamp > latest:
            raise InvalidLine(Reason.IN_FUTURE, f"timestamp is after {latest.isoformat()}")
    except InvalidLine as problem:
        return Refused(id, problem.reason, problem.detail)
    blocked = "" if barrier is None else barrier(found.tenant_id, found.metric, found.subject or "", timestamp)
    if blocked:
        return Blocked(id, blocked)
    return Admitted(id, (found.tenant_id, text, check_size(text)))
