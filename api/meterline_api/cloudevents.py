"""CloudEvents 1.0 (structured and batch JSON) as usage: ``subject`` is the tenant, ``type`` the metric.

``data.quantity``, or else ``data.value``, is the quantity, 1 where there is neither; the other members of ``data``
are the properties; ``time`` is the timestamp. An event is identified by ``source`` and ``id`` together, as the
specification says, so two sources may use the same ids. Pure.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from meterline_api.submissions import UNBOUNDED, Form, Submission, UnreadableBodyError, read_array, read_one
from meterline_schemas.event import MAX_ID, Name
from meterline_schemas.reading import UNREADABLE, InvalidLine
from meterline_schemas.reject import Reason


class CloudEvent(Struct, gc=False):
    """The attributes that are read. Others, extensions too, are passed over."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=4096)]
    source: Name
    type: Name
    subject: Name
    time: Annotated[datetime, Meta(tz=True)] | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None


_event: Final = msgspec.json.Decoder(CloudEvent)
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode
_ONE: Final = msgspec.Raw(b"1")


def read_cloudevents(form: Form, body: bytes, most: int = UNBOUNDED) -> list[Submission | InvalidLine]:
    """Events of a structured CloudEvent or of a batch, in order.

    Raises:
        UnreadableBodyError: JSON that cannot be taken apart into events.
        TooManyEventsError: more than ``most``.
    """
    items = [bytes(item) for item in read_array(body, most)] if form is Form.CLOUDEVENTS else [body]
    found = [_read(item) for item in items]
    if form is Form.CLOUDEVENT and isinstance(found[0], InvalidLine) and found[0].reason == Reason.INVALID_JSON:
        raise UnreadableBodyError(found[0].detail)
    return found


def identity(source: str, id: str) -> str:
    """One id for the pair: the length of the source tells where it ends, so no two pairs have the same."""
    joined = f"{len(source)}:{source}{id}"
    return joined if len(joined) <= MAX_ID else f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}"


def read_event(text: bytes) -> CloudEvent | InvalidLine:
    """One structured CloudEvent, or why it is none."""
    event = read_one(_event.decode, text)
    if isinstance(event, CloudEvent) and not event.id.isprintable():
        return InvalidLine(Reason.INVALID_EVENT, "id has control or other unprintable characters")
    return event


def members_of(event: CloudEvent) -> dict[str, msgspec.Raw]:
    """The members of ``data``, undecoded; none where there is no data.

    Raises:
        InvalidLine: it is no JSON object.
    """
    if event.data_base64 is not None:
        raise InvalidLine(Reason.INVALID_EVENT, "data_base64 is not read: send data as a JSON object")
    kind = (event.datacontenttype or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidLine(Reason.INVALID_EVENT, "datacontenttype must be application/json: send data as a JSON object")
    raw = bytes(event.data)
    if raw in (b"", b"null"):
        return {}
    try:
        return _members.decode(raw)
    except UNREADABLE:
        raise InvalidLine(Reason.INVALID_EVENT, "data must be an object") from None


def submission_of(event: CloudEvent) -> Submission:
    """The usage that an event is.

    Raises:
        InvalidLine: it is none.
    """
    members = members_of(event)
    for name in ("quantity", "value"):
        quantity = members.pop(name, None)
        if quantity is not None:
            break
    else:
        quantity = _ONE
    return Submission(
        tenant_id=event.subject,
        metric=event.type,
        quantity=quantity,
        id=identity(event.source, event.id),
        timestamp=event.time,
        source=event.source,
        properties=msgspec.Raw(_encode(members)) if members else msgspec.Raw(),
    )


def _read(text: bytes) -> Submission | InvalidLine:
    event = read_event(text)
    if isinstance(event, InvalidLine):
        return event
    try:
        return submission_of(event)
    except InvalidLine as problem:
        return problem
