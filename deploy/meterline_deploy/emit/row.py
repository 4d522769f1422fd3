"""A row of a table as an event. Pure.

A row whose id no column gives gets a UUIDv5 of its number and of the event that it gives. The same file emitted
again, renamed, packed, or written as Parquet instead of CSV gives the same events; rows that were appended, or
corrected in their place, are new ones, and all others keep their ids.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from meterline_deploy.emit.mapping import Places
from meterline_deploy.emit.times import Epoch, TimeError, read_time
from meterline_schemas.event import MAX_ID, MAX_PROPERTIES, UsageEvent
from meterline_schemas.reading import InvalidLine, read_quantity, utc_milliseconds
from meterline_schemas.reject import Reason

NAMESPACE: Final = uuid.UUID("0c8a4e0b-9f43-5f57-8a4d-6f1f0a8e2b35")
_EXACT: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Rules:
    """How cells are read. ``decimals``: round quantities to so many, half to even. ``batch``: tells files apart."""

    zone: ZoneInfo | None = None
    epoch: Epoch | None = None
    decimals: int | None = None
    batch: str = ""


def number_of(cells: Sequence[str], places: Places, counted: int) -> int:
    """The number of a row: what it says of itself in a file of rejects, else how it is counted."""
    text = cells[places.number] if places.number is not None and places.number < len(cells) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else counted


def event_of(cells: Sequence[str], number: int, places: Places, rules: Rules) -> UsageEvent:
    """The event of a row. An empty cell is no subject, no source and no property.

    Raises:
        InvalidLine: it gives none.
    """
    if len(cells) != places.width:
        raise _invalid(f"the row has {len(cells)} cells, the header has {places.width}")
    found = {name: cells[index] for name, index in places.fields.items()} | places.values
    properties = {name: cells[index] for name, index in places.properties if cells[index]}
    for name, text in (*found.items(), *properties.items()):
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise _invalid(f"{name} is not UTF-8")
    if len(properties) > MAX_PROPERTIES:
        raise _invalid(f"{len(properties)} properties, at most {MAX_PROPERTIES} are taken")
    for name in ("tenant_id", "metric", "id", "subject", "source"):
        text = found.get(name, "-")
        if not text and name not in ("subject", "source"):
            raise _invalid(f"{name} is empty")
        if len(text) > MAX_ID:
            raise _invalid(f"{name} has {len(text)} characters, at most {MAX_ID} are taken")
    try:
        timestamp = utc_milliseconds(read_time(found["timestamp"], rules.zone, rules.epoch))
    except TimeError as error:
        raise _invalid(str(error)) from None
    tenant_id, metric, quantity = found["tenant_id"], found["metric"], quantity_of(found["quantity"], rules.decimals)
    subject, source = found.get("subject") or None, found.get("source") or None
    id = found.get("id")
    if id is None:
        said = [rules.batch, number, tenant_id, metric, quantity, timestamp, subject, source, list(properties.items())]
        id = str(uuid.uuid5(NAMESPACE, _encode(said).decode()))
    return UsageEvent(
        id=id,
        tenant_id=tenant_id,
        metric=metric,
        quantity=msgspec.Raw(_encode(quantity)),
        timestamp=timestamp,
        subject=subject,
        source=source,
        properties=msgspec.Raw(_encode(properties)) if properties else msgspec.Raw(),
    )


def quantity_of(text: str, decimals: int | None) -> str:
    """The shortest plain decimal of a quantity, rounded where that is asked for.

    Raises:
        InvalidLine: no decimal, or one that is not taken.
    """
    text = text.strip()
    if decimals is not None and _NUMBER.fullmatch(text):
        with suppress(InvalidOperation):  # far too large: said below
            text = format(_EXACT.quantize(Decimal(text), Decimal(1).scaleb(-decimals)), "f")
    return read_quantity(_encode(text))[1]


def _invalid(detail: str) -> InvalidLine:
    return InvalidLine(Reason.INVALID_EVENT, detail)
