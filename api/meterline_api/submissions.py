"""What callers send, in any of the forms, as one list: events as submitted, or why one cannot be read.

Pure. ``id`` and ``timestamp`` may still be missing here; ``door`` gives them or refuses.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from meterline_schemas.event import Label, Name
from meterline_schemas.reading import UNREADABLE, InvalidLine, is_finer, unrounded
from meterline_schemas.reject import Reason


class Submission(Struct, gc=False):
    """A usage event whose ``id`` and ``timestamp`` may be left to the server."""

    tenant_id: Name
    metric: Name
    quantity: msgspec.Raw
    id: Name | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    subject: Label | None = None
    source: Label | None = None
    properties: msgspec.Raw = msgspec.Raw()


class Form(StrEnum):
    """How a body is written: its media type, without parameters."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    CLOUDEVENT = "application/cloudevents+json"
    CLOUDEVENTS = "application/cloudevents-batch+json"


_ALIASES: Final = {"application/ndjson": Form.NDJSON, "application/jsonl": Form.NDJSON}

UNBOUNDED: Final = sys.maxsize - 1
Item = TypeVar("Item", bound=Struct)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_submission: Final = msgspec.json.Decoder(Submission)
_submissions: Final = msgspec.json.Decoder(list[Submission])


class UnreadableBodyError(Exception):
    """The body as a whole is not what its media type says; the text says where."""


class TooManyEventsError(Exception):
    """More events than one request may have: told before each of them is looked at, which takes far longer."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} events in one request: send them in parts")


class UnknownFormError(Exception):
    """No form has this media type and charset."""


def form_of(content_type: str) -> Form:
    """The form that a ``Content-Type`` names.

    Raises:
        UnknownFormError: none, or a charset other than UTF-8.
    """
    media_type, *parameters = (part.strip() for part in content_type.lower().split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise UnknownFormError(f"charset {value[:50]} is not read; send UTF-8")
    form = _ALIASES.get(media_type)
    if form is not None:
        return form
    try:
        return Form(media_type)
    except ValueError:
        named = f"Content-Type {media_type[:100]!r}" if media_type else "a body without Content-Type"
        raise UnknownFormError(f"{named} is not read; send one of {', '.join(Form)}") from None


def read_native(form: Form, body: bytes, most: int = UNBOUNDED) -> list[Submission | InvalidLine]:
    """Events of an ``application/json`` object or array, or of NDJSON: one for each, in order.

    Raises:
        UnreadableBodyError: JSON that cannot be taken apart into events. A bad line of NDJSON is only that line's.
        TooManyEventsError: more than ``most``.
    """
    if form is Form.NDJSON:
        return [read_one(_decode, line) for line in _lines(body, most)]
    if body.lstrip()[:1] == b"[":
        try:
            found = _submissions.decode(body)
        except UNREADABLE:
            found = None
        if found is None or is_finer(body):
            return [read_one(_decode, bytes(item)) for item in read_array(body, most)]
        if len(found) > most:
            raise TooManyEventsError(most)
        return list(found)
    one = read_one(_decode, body)
    if isinstance(one, InvalidLine) and one.reason == Reason.INVALID_JSON:
        raise UnreadableBodyError(one.detail)
    return [one]


def _decode(text: bytes) -> Submission:
    found = _submission.decode(text)
    if found.timestamp is not None:
        found.timestamp = unrounded(found.timestamp, text)
    return found


def _lines(body: bytes, most: int) -> list[bytes]:
    """Those that are not blank."""
    found = list(islice((line for line in io.BytesIO(body) if line.strip()), most + 1))
    if len(found) > most:
        raise TooManyEventsError(most)
    return found


def read_array(body: bytes, most: int = UNBOUNDED) -> list[msgspec.Raw]:
    """The items of a JSON array, undecoded.

    Raises:
        UnreadableBodyError: it is none.
        TooManyEventsError: more than ``most``.
    """
    try:
        found = _array.decode(body)
    except UNREADABLE as error:
        raise UnreadableBodyError(str(error)) from None
    if len(found) > most:
        raise TooManyEventsError(most)
    return found


def read_one(decode: Callable[[bytes], Item], text: bytes) -> Item | InvalidLine:
    """One event, or why it is none."""
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        return InvalidLine(Reason.INVALID_EVENT, str(error))
    except UNREADABLE as error:
        return InvalidLine(Reason.INVALID_JSON, str(error))
