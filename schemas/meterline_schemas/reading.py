"""Reading an event exactly: JSON line → ``UsageEvent`` → quantity in nano-units and properties as text.

The same functions judge at the door (HTTP) and in the stream, so that both say the same of the same bytes.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

import msgspec

from meterline_schemas.event import MAX_LINE_BYTES, MAX_PROPERTIES, UsageEvent
from meterline_schemas.quantity import MAX_TEXT, QuantityError, QuantityRangeError, read
from meterline_schemas.reject import Reason

_event_decoder: Final = msgspec.json.Decoder(UsageEvent)
_text_decoder: Final = msgspec.json.Decoder(str)
_properties_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any_decoder: Final = msgspec.json.Decoder()

_FINER: Final = re.compile(rb"\.[0-9]{7,}(?:[Zz]|[+-])")
_FRACTION: Final = re.compile(r"\.[0-9]{6}([0-9])", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Time(msgspec.Struct):
    """An object's ``timestamp`` as it is written."""

    timestamp: str


_time_decoder: Final = msgspec.json.Decoder(_Time)

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises on bytes that are no JSON, or not the JSON that was asked for."""


class InvalidLine(Exception):
    """The line is no event that can count. ``reason`` and ``detail`` go into its reject."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def decode_line(line: bytes) -> UsageEvent:
    """One line.

    Raises:
        InvalidLine: ``invalid_json`` or ``invalid_event``.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InvalidLine(Reason.INVALID_EVENT, f"line has {len(line)} bytes, at most {MAX_LINE_BYTES} are read")
    try:
        event = _event_decoder.decode(line)
        timestamp = unrounded(event.timestamp, line)
        return event if timestamp is event.timestamp else msgspec.structs.replace(event, timestamp=timestamp)
    except msgspec.ValidationError as error:
        raise InvalidLine(Reason.INVALID_EVENT, str(error)) from None
    except UNREADABLE as error:
        raise InvalidLine(Reason.INVALID_JSON, str(error)) from None


def names_problem(event: UsageEvent) -> str | None:
    """What is wrong with the names in an event, or None."""
    for field in ("id", "tenant_id", "metric", "subject", "source"):
        text = getattr(event, field)
        if text is not None and not text.isprintable():
            return f"{field} has control or other unprintable characters"
    return None


def read_quantity(raw: bytes) -> tuple[int, str]:
    """Nano-units and canonical text of a quantity as it stands in the JSON, a string or a number.

    Raises:
        InvalidLine: ``invalid_event`` where it is no decimal, ``quantity_out_of_range`` where it does not fit.
    """
    if raw[:1] == b'"':
        text = _text(raw)
    elif raw[:1] in b"-0123456789":
        text = raw[: MAX_TEXT + 1].decode()
    else:
        raise InvalidLine(Reason.INVALID_EVENT, "quantity must be a decimal: a JSON string or number")
    try:
        return read(text)
    except QuantityRangeError as error:
        raise InvalidLine(Reason.QUANTITY_OUT_OF_RANGE, str(error)) from None
    except QuantityError as error:
        raise InvalidLine(Reason.INVALID_EVENT, str(error)) from None


def read_properties(raw: bytes) -> dict[str, str] | None:
    """Properties as text: strings as they are, other values as their JSON text, null left out.

    Raises:
        InvalidLine: ``invalid_event``: not an object, or more than ``MAX_PROPERTIES``.
    """
    if not raw or raw == b"null":
        return None
    if raw[:1] != b"{":
        raise InvalidLine(Reason.INVALID_EVENT, "properties must be an object")
    try:
        properties = _properties_decoder.decode(raw)
    except UNREADABLE as error:
        raise InvalidLine(Reason.INVALID_JSON, f"properties: {error}") from None
    if len(properties) > MAX_PROPERTIES:
        raise InvalidLine(Reason.INVALID_EVENT, f"{len(properties)} properties, at most {MAX_PROPERTIES} are read")
    texts = {}
    for key, value in properties.items():
        text = bytes(value)
        if text != b"null":
            texts[key] = _text(text)
    return texts or None


def _text(raw: bytes) -> str:
    """A JSON string's text, or any other value as it is written."""
    try:
        return _text_decoder.decode(raw) if raw[:1] == b'"' else raw.decode()
    except UNREADABLE as error:
        raise InvalidLine(Reason.INVALID_JSON, str(error)) from None


def is_finer(text: bytes) -> bool:
    """Whether JSON holds a time with more decimals than microseconds have."""
    return _FINER.search(text) is not None


def unrounded(timestamp: datetime, text: bytes) -> datetime:
    """A decoded ``timestamp`` of the JSON object ``text``: where decoding rounded it up, the microsecond before.

    Decoding rounds to microseconds, and 23:59:59.9999999 must not become the next day. Only a rounding that reaches
    the next millisecond shows once a time is cut to milliseconds.
    """
    if timestamp.microsecond % 1000 or not is_finer(text):
        return timestamp
    written = _FRACTION.search(_time_decoder.decode(text).timestamp)
    return timestamp - _MICROSECOND if written is not None and written[1] >= "5" else timestamp


def utc_milliseconds(timestamp: datetime) -> datetime:
    """The instant in UTC, cut (not rounded) to milliseconds, so that key, hour and lateness agree everywhere.

    Raises:
        InvalidLine: ``invalid_event``: in UTC it would lie outside the years 1 to 9999.
    """
    if timestamp.tzinfo is not timezone.utc:
        try:
            timestamp = timestamp.astimezone(timezone.utc)
        except OverflowError:
            raise InvalidLine(Reason.INVALID_EVENT, "timestamp lies outside the years 1 to 9999 in UTC") from None
    excess = timestamp.microsecond % 1000
    return timestamp.replace(microsecond=timestamp.microsecond - excess) if excess else timestamp


def glimpse(line: bytes) -> tuple[str, str, str]:
    """``(tenant_id, metric, id)`` of a line that is no event, as far as they can be read: for people who search."""
    try:
        value = _any_decoder.decode(line)
    except UNREADABLE:
        return "", "", ""
    if not isinstance(value, dict):
        return "", "", ""
    tenant, metric, id = (value.get(name) for name in ("tenant_id", "metric", "id"))
    return (
        tenant[:256] if isinstance(tenant, str) else "",
        metric[:256] if isinstance(metric, str) else "",
        id[:256] if isinstance(id, str) else "",
    )
