"""CloudEvents as OpenMeter takes them, as usage of every meter that counts their type. Pure.

An event of a type that no meter names is usage of the metric with the name of its type, as under ``/v1/events``.
A value with more than 9 decimals, such as the float 0.1 + 0.2, is rounded once, half to even, at the ninth.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final, NamedTuple
from urllib.parse import unquote

import msgspec

from meterline_api.cloudevents import CloudEvent, identity, members_of, read_event, submission_of
from meterline_api.openmeter.meters import Aggregation, Meter, Meters
from meterline_api.openmeter.paths import Members, find
from meterline_api.submissions import UNBOUNDED, Form, Submission, UnreadableBodyError, read_array
from meterline_schemas.event import MAX_ID
from meterline_schemas.quantity import DECIMALS, MAX_TEXT
from meterline_schemas.reading import UNREADABLE, InvalidLine
from meterline_schemas.reject import Reason

ATTRIBUTES: Final = ("specversion", "id", "source", "type", "subject", "time", "dataschema")
"""What the headers ``ce-…`` of an event in binary mode may say."""

_ONE: Final = msgspec.Raw(b"1")
_NINTH: Final = Decimal(1).scaleb(-DECIMALS)
_WIDE: Final = Context(prec=2 * MAX_TEXT, rounding=ROUND_HALF_EVEN)
_NUMBER: Final = re.compile(rb'"?(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)"?')
_encode: Final = msgspec.json.Encoder().encode
_raw: Final = msgspec.json.Decoder(msgspec.Raw)


class Part(NamedTuple):
    """What one event of a request is to one meter. ``place`` is the event's, from 0."""

    place: int
    found: Submission | InvalidLine


def read_events(form: Form, body: bytes, most: int = UNBOUNDED) -> list[bytes]:
    """The events of a body, each as its JSON.

    Raises:
        UnreadableBodyError: it cannot be taken apart into events.
        TooManyEventsError: more than ``most``.
    """
    if form is Form.CLOUDEVENTS or (form is Form.JSON and body.lstrip()[:1] == b"["):
        return [bytes(item) for item in read_array(body, most)]
    try:
        _raw.decode(body)
    except UNREADABLE as error:
        raise UnreadableBodyError(str(error)) from None
    return [body]


def from_binary(headers: Mapping[str, str], body: bytes) -> bytes:
    """An event in binary mode, its attributes in headers and its data as the body, as the JSON of a structured one.

    Raises:
        UnreadableBodyError: the body is no JSON, or a header no ASCII.
    """
    given = {name: headers[f"ce-{name}"] for name in ATTRIBUTES if f"ce-{name}" in headers}
    for name, value in given.items():
        if not value.isascii():
            raise UnreadableBodyError(f"header ce-{name} is no ASCII: percent-encode its UTF-8")
    event: dict[str, object] = {name: unquote(value) for name, value in given.items()}
    if "content-type" in headers:
        event["datacontenttype"] = headers["content-type"]
    if body:
        try:
            event["data"] = _raw.decode(body)
        except UNREADABLE as error:
            raise UnreadableBodyError(str(error)) from None
    return _encode(event)


def parts_of(events: list[bytes], meters: Meters, now: datetime) -> Iterator[Part]:
    """Every event, as what it is to each meter."""
    for place, text in enumerate(events):
        event = read_event(text)
        if isinstance(event, InvalidLine):
            yield Part(place, event)
            continue
        try:
            found = list(_of_meters(event, meters.by_type.get(event.type, ()), now))
        except InvalidLine as problem:
            yield Part(place, problem)
            continue
        for part in found:
            yield Part(place, part)


def _of_meters(event: CloudEvent, meters: tuple[Meter, ...], now: datetime) -> Iterator[Submission | InvalidLine]:
    if not meters:
        found = submission_of(event)
        found.quantity = rounded(found.quantity)
        yield found
        return
    members = members_of(event)
    counted = False
    for meter in meters:
        if meter.event_from is not None and (event.time or now) < meter.event_from:
            continue
        usage = _of_meter(event, members, meter)
        if usage is not None:
            counted = True
            yield usage
    if not counted:
        wanted = ", ".join(f"{meter.value_property} for {meter.slug}" for meter in meters if meter.value_property)
        yield InvalidLine(
            Reason.INVALID_EVENT,
            f"no meter of events of type {event.type[:100]!r} counts it: data has none of {wanted}"
            if wanted
            else f"every meter of events of type {event.type[:100]!r} begins after its time",
        )


def _of_meter(event: CloudEvent, members: Members, meter: Meter) -> Submission | None:
    value = find(members, meter.value_path) if meter.value_path else None
    if meter.value_path and value is None:
        return None  # an event without the value is none of the meter's, as in OpenMeter
    properties = {name: found for name, path in meter.group_paths.items() if (found := find(members, path)) is not None}
    quantity = _ONE
    if meter.aggregation is Aggregation.UNIQUE_COUNT and value is not None:
        properties[meter.unique_by] = value
    elif value is not None:
        quantity = rounded(value)
    return Submission(
        tenant_id=event.subject,
        metric=meter.slug,
        quantity=quantity,
        id=meter_id(meter.slug, event.source, event.id),
        timestamp=event.time,
        source=event.source,
        properties=msgspec.Raw(_encode(properties)) if properties else msgspec.Raw(),
    )


def meter_id(slug: str, source: str, id: str) -> str:
    """The id of what an event is to a meter: always the same, and another for every meter."""
    joined = f"meter:{slug}:{identity(source, id)}"
    return joined if len(joined) <= MAX_ID else f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}"


def rounded(value: msgspec.Raw) -> msgspec.Raw:
    """A number, or text that is one, with at most 9 decimals; anything else as it is: it is judged where all are."""
    raw = bytes(value)
    found = _NUMBER.fullmatch(raw) if len(raw) <= MAX_TEXT else None
    if found is None:
        return value
    number = Decimal(found[1].decode())
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= -DECIMALS:
        return value
    try:
        return msgspec.Raw(format(number.quantize(_NINTH, context=_WIDE), "f").encode())
    except InvalidOperation:
        return value
