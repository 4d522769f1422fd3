"""Lines of NDJSON as events. Pure.

A line without an id gets one from the file: a UUIDv5 of the SHA-256 of everything up to and including that line. The
same file emitted twice, or a file that has grown since, gives the lines that it had the same ids, and they count once.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, BinaryIO, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from meterline_schemas.event import MAX_LINE_BYTES, Label, Name, UsageEvent
from meterline_schemas.reading import UNREADABLE, InvalidLine
from meterline_schemas.reject import Reason

NAMESPACE: Final = uuid.UUID("f0b1c9de-6f0e-5d1b-9a53-5c0b5a6d7c11")


class _Event(Struct, gc=False):
    """A usage event whose id may be missing."""

    tenant_id: Name
    metric: Name
    quantity: msgspec.Raw
    timestamp: Annotated[datetime, Meta(tz=True)]
    id: Name | msgspec.UnsetType = msgspec.UNSET
    subject: Label | None = None
    source: Label | None = None
    properties: msgspec.Raw = msgspec.Raw()


_decoder: Final = msgspec.json.Decoder(_Event)


class Line(NamedTuple):
    """A non-blank line by its number in the file, from 1: its event, or why it is none. ``size`` is of all bytes
    read since the line before. A row of a table also has its ``cells``, as text."""

    number: int
    size: int
    event: UsageEvent | None
    problem: InvalidLine | None
    cells: Sequence[str] = ()


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file or a pipe as they come; never more than one of them in memory, and of that no more than the
    largest line that can count."""
    digest = hashlib.sha256()
    number = size = 0
    while piece := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        digest.update(piece)
        length = size = size + len(piece)
        too_long = len(piece) > MAX_LINE_BYTES
        if too_long and not piece.endswith(b"\n"):
            length = size = size + _skip(file, digest)
        line = piece.strip()
        if not line:
            continue
        size = 0
        if too_long:
            detail = f"the line has more than {MAX_LINE_BYTES} bytes"
            yield Line(number, length, None, InvalidLine(Reason.INVALID_EVENT, detail))
            continue
        try:
            yield Line(number, length, _event(line, digest), None)
        except InvalidLine as problem:
            yield Line(number, length, None, problem)


def _skip(file: BinaryIO, digest: hashlib._Hash) -> int:
    """Read to the end of a line that is too long."""
    skipped = 0
    while piece := file.readline(MAX_LINE_BYTES):
        digest.update(piece)
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _event(line: bytes, digest: hashlib._Hash) -> UsageEvent:
    try:
        event = _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise InvalidLine(Reason.INVALID_EVENT, str(error)) from None
    except UNREADABLE as error:
        raise InvalidLine(Reason.INVALID_JSON, str(error)) from None
    id = event.id
    return UsageEvent(
        id=str(uuid.uuid5(NAMESPACE, digest.hexdigest())) if isinstance(id, msgspec.UnsetType) else id,
        tenant_id=event.tenant_id,
        metric=event.metric,
        quantity=event.quantity,
        timestamp=event.timestamp,
        subject=event.subject,
        source=event.source,
        properties=event.properties,
    )
