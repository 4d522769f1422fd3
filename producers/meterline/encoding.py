"""An event as its line of JSON: fields in one order, quantity a plain decimal string, time in UTC to milliseconds.

Pure, and fast where it matters: the names of a tenant and metric are checked and escaped once and remembered, and a
line is put together from text that needs no further escaping.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec

from meterline.errors import InvalidUsageError
from meterline_schemas.event import MAX_ID, MAX_LINE_BYTES, MAX_PROPERTIES, UsageEvent
from meterline_schemas.quantity import LIMIT, QuantityError, format_nano, parse_nano
from meterline_schemas.reading import (
    UNREADABLE,
    InvalidLine,
    names_problem,
    read_properties,
    read_quantity,
    utc_milliseconds,
)
from meterline_schemas.reject import Reason

Quantity = int | Decimal | str

_TEXTS: Final = (str, Decimal)  # tuples: a union is made anew at each call
_FLOATS: Final = (float, bool)
_encode: Final = msgspec.json.Encoder().encode
_WITH_DECIMALS: Final = len('"2025-01-01T00:00:00.000000Z"')
_flat: Final = msgspec.json.Decoder(dict[str, str])
# a decimal that is already as short and plain as it gets, but for zeros at its end
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?", re.ASCII)


def line_of(
    id: str,
    tenant_id: str,
    metric: str,
    quantity: Quantity,
    timestamp: str,
    subject: str | None,
    source: str | None,
    properties: Mapping[str, Any] | None,
) -> str:
    """One event as JSON. ``id`` and ``timestamp`` must be plain already: see ``marks``, ``name_text``, ``time_text``.

    Raises:
        InvalidUsageError: a value that can never count.
        TypeError: a value of the wrong type; a float quantity is one.
    """
    amount = quantity if type(quantity) is int and 0 <= quantity < LIMIT else quantity_text(quantity)
    line = f'{{"id":"{id}"{_names(tenant_id, metric)}"{amount}","timestamp":"{timestamp}"'
    if subject is not None:
        line = f'{line},"subject":"{name_text("subject", subject, empty=True)}"'
    if source is not None:
        line = f'{line},"source":"{name_text("source", source, empty=True)}"'
    if properties:
        line = f'{line},"properties":{_properties_text(properties)}'
    return line + "}"


@lru_cache(maxsize=16_384)
def _names(tenant_id: str, metric: str) -> str:
    return f',"tenant_id":"{name_text("tenant_id", tenant_id)}","metric":"{name_text("metric", metric)}","quantity":'


def name_text(field: str, text: str, *, empty: bool = False) -> str:
    """A checked name as it stands between the quotes of JSON."""
    if not isinstance(text, str):
        raise TypeError(f"{field} must be a str, not {type(text).__name__}")
    if not text and not empty:
        raise InvalidUsageError(f"{field} is empty")
    if len(text) > MAX_ID:
        raise InvalidUsageError(f"{field} has {len(text)} characters, at most {MAX_ID} are taken")
    if not text.isprintable():
        raise InvalidUsageError(f"{field} has control or other unprintable characters")
    return _encode(text).decode()[1:-1]


def quantity_text(quantity: Quantity) -> str:
    """The shortest plain decimal of a quantity.

    A float is refused whatever its value: 0.1 would pass and 0.1 + 0.2 would not, so that the mistake would first
    show in production. ``Decimal(str(x))``, rounded as the business rounds, says what is meant.

    Raises:
        InvalidUsageError: no decimal, 10^18 or more, or finer than 10^-9.
        TypeError: no int, Decimal or str.
    """
    if isinstance(quantity, _TEXTS):
        text = str(quantity)
        if _PLAIN.fullmatch(text) and text[0] != "-":
            return text.rstrip("0").rstrip(".") if text[-1] == "0" and "." in text else text
    elif isinstance(quantity, _FLOATS):
        raise TypeError(
            f"quantity must be an int, a Decimal or a str, not the {type(quantity).__name__} {quantity!r}: "
            "usage is counted exactly; round it to a Decimal first"
        )
    else:
        try:
            text = str(operator.index(quantity))  # numpy's integers too
        except ValueError:  # thousands of digits
            raise InvalidUsageError("quantity must be below 10^18") from None
        except TypeError:
            raise TypeError(f"quantity must be an int, a Decimal or a str, not {type(quantity).__name__}") from None
    try:
        return format_nano(parse_nano(text))
    except QuantityError as error:
        raise InvalidUsageError(str(error)) from None


def time_text(timestamp: datetime) -> str:
    """RFC 3339 in UTC, cut to milliseconds.

    Raises:
        InvalidUsageError: no time zone, so that the instant is unknown.
        TypeError: no datetime.
    """
    if not isinstance(timestamp, datetime):
        raise TypeError(f"timestamp must be a datetime with a time zone, not {type(timestamp).__name__}")
    if timestamp.utcoffset() is None:
        raise InvalidUsageError("timestamp has no time zone: pass datetime.now(timezone.utc) or set tzinfo")
    try:
        return _cut(timestamp.astimezone(timezone.utc))
    except OverflowError:
        raise InvalidUsageError("timestamp lies outside the years 1 to 9999 in UTC") from None


def _cut(moment: datetime) -> str:
    """RFC 3339 of a time in UTC, cut to milliseconds as ``utc_milliseconds`` does."""
    try:
        text = _encode(moment).decode()  # in quotes, with six decimals or none; isoformat takes several times as long
    except TypeError:  # a kind of datetime of somebody's own
        return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
    return text[1:24] + "Z" if len(text) == _WITH_DECIMALS else text[1:20] + ".000Z"


def _properties_text(properties: Mapping[str, Any]) -> str:
    if not isinstance(properties, Mapping):
        raise TypeError(f"properties must be a mapping, not {type(properties).__name__}")
    if len(properties) > MAX_PROPERTIES:
        raise InvalidUsageError(f"{len(properties)} properties, at most {MAX_PROPERTIES} are taken")
    try:
        return _encode(dict(properties)).decode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidUsageError(f"properties cannot be written as JSON: {error}") from None


def check_size(line: str) -> int:
    """Bytes of a line in UTF-8.

    Raises:
        InvalidUsageError: more than a line may have.
    """
    size = len(line) if line.isascii() else len(line.encode())
    if size > MAX_LINE_BYTES:
        raise InvalidUsageError(f"the event has {size} bytes, at most {MAX_LINE_BYTES} are taken")
    return size


def line_of_event(event: UsageEvent) -> str:
    """The line of an event that was decoded from elsewhere, judged by the rules that the stream judges by.

    Raises:
        InvalidLine: with the reason and detail that the stream would reject it with.
    """
    plain = event.id.isprintable() and event.tenant_id.isprintable() and event.metric.isprintable()
    if not plain or event.subject or event.source:
        problem = names_problem(event)
        if problem is not None:
            raise InvalidLine(Reason.INVALID_EVENT, problem)
    amount = _amount(bytes(event.quantity))
    raw = bytes(event.properties)
    properties = ""
    if raw and raw != b"null":
        _check_properties(raw)
        properties = raw.decode()
        if "\n" in properties or "\r" in properties:
            properties = msgspec.json.format(properties, indent=-1)
    moment = event.timestamp
    if moment.tzinfo is not timezone.utc:
        moment = utc_milliseconds(moment)
    id = _encode(event.id).decode()
    line = f'{{"id":{id}{_names(event.tenant_id, event.metric)}"{amount}","timestamp":"{_cut(moment)}"'
    if event.subject is not None:
        line = f'{line},"subject":{_encode(event.subject).decode()}'
    if event.source is not None:
        line = f'{line},"source":{_encode(event.source).decode()}'
    if properties:
        line = f'{line},"properties":{properties}'
    line += "}"
    if len(line) * 4 > MAX_LINE_BYTES and len(line.encode()) > MAX_LINE_BYTES:
        raise InvalidLine(
            Reason.INVALID_EVENT, f"line has {len(line.encode())} bytes, at most {MAX_LINE_BYTES} are read"
        )
    return line


def _check_properties(raw: bytes) -> None:
    """Raises what ``read_properties`` raises; most have texts only, which one decoder sees at once."""
    try:
        if len(_flat.decode(raw)) <= MAX_PROPERTIES:
            return
    except UNREADABLE:
        pass
    read_properties(raw)


@lru_cache(maxsize=16_384)
def _amount(raw: bytes) -> str:
    return read_quantity(raw)[1]
