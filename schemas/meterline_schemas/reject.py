"""An event that does not count, with the reason and the line as it came."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from enum import Enum
from typing import Final

from msgspec import Struct

KEPT_BYTES: Final = 64 * 1024  # of the line; its length and hash are of the whole


class Reason(str, Enum):
    """Why an event does not count. A closed set: finance sees these words."""

    INVALID_JSON = "invalid_json"
    INVALID_EVENT = "invalid_event"
    QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
    UNKNOWN_METRIC = "unknown_metric"
    UNKNOWN_TENANT = "unknown_tenant"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    DUPLICATE = "duplicate"

    __str__ = str.__str__


class Reject(Struct, gc=False, omit_defaults=True):
    """A record line of ``usage.rejected`` and a row of ``rejected_events``, names alike.

    ``raw`` is the first 64 KB of the line, as text, or base64 where the bytes are no UTF-8 (``raw_encoding``);
    denied properties are not in it, while ``raw_bytes`` and ``raw_sha256`` are of the line as it came.
    ``lines`` is above 1 only where a record exceeded the cap of lines: then one reject stands for all the rest.
    """

    reason: str
    detail: str
    kafka_topic: str
    kafka_partition: int
    kafka_offset: int
    kafka_line: int
    received_at: datetime
    raw: str
    raw_encoding: str
    raw_bytes: int
    raw_sha256: str
    tenant_id: str = ""
    metric: str = ""
    id: str = ""
    lines: int = 1


def keep(line: bytes) -> tuple[str, str, int, str]:
    """``(raw, raw_encoding, raw_bytes, raw_sha256)`` of a line: what a reject remembers of it."""
    head = line[:KEPT_BYTES]
    try:
        raw, encoding = head.decode(), "utf-8"
    except UnicodeDecodeError as error:
        # a cut may fall inside a character: the text up to it is still text
        if len(line) > KEPT_BYTES and error.start > KEPT_BYTES - 4:
            raw, encoding = head[: error.start].decode(), "utf-8"
        else:
            raw, encoding = base64.b64encode(head).decode(), "base64"
    return raw, encoding, len(line), hashlib.sha256(line).hexdigest()
