"""Properties that nothing is kept of (``METERLINE_DENIED_PROPERTIES``). Pure.

``denied`` are names in the form of ``str.casefold``, so that ``Email`` is ``email``. They are compared with names as
decoded: however JSON writes one, it is the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final, TypeVar

import msgspec

from meterline_schemas.reading import UNREADABLE

Value = TypeVar("Value")


class _Fields(msgspec.Struct):
    """What an event consists of, each as it is written."""

    id: msgspec.Raw = msgspec.Raw()
    tenant_id: msgspec.Raw = msgspec.Raw()
    metric: msgspec.Raw = msgspec.Raw()
    quantity: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()
    subject: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    properties: msgspec.Raw = msgspec.Raw()


_fields: Final = msgspec.json.Decoder(_Fields)
_properties: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without(properties: Mapping[str, Value] | None, denied: Set[str]) -> dict[str, Value] | None:
    """The properties that may be kept, None if there is none."""
    return {name: value for name, value in (properties or {}).items() if name.casefold() not in denied} or None


def line_without(line: bytes, denied: Set[str]) -> bytes:
    """What may be kept of a rejected line: as it came, or the same event without denied properties.

    A line that may name one keeps an event's own fields, so that it can be judged again, and nothing where it is no
    JSON object: what lies where in it nobody can tell.
    """
    if not _may_name(line, denied):
        return line
    try:
        fields = msgspec.structs.asdict(_fields.decode(line))
    except UNREADABLE:
        return b""
    kept = {name: raw for name, raw in fields.items() if name != "properties" and bytes(raw)[:1] not in (b"{", b"[")}
    try:
        properties = _properties.decode(fields["properties"]) if bytes(fields["properties"]) else {}
    except UNREADABLE:
        properties = {}
    kept["properties"] = without(properties, denied)
    return msgspec.json.encode({name: value for name, value in kept.items() if value})


def _may_name(line: bytes, denied: Set[str]) -> bool:
    """False where a denied name is certainly not in the line."""
    try:
        text = line.decode().casefold()
    except UnicodeDecodeError:
        return True
    return "\\" in text or any(name in text for name in denied)
