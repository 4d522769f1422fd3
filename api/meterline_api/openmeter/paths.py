"""The JSONPath expressions that meters use: members and places, such as ``$.usage.tokens`` or ``$['a b'][0]``. Pure.

Values are found as they are written, so that a number never passes through a float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from meterline_schemas.reading import UNREADABLE

_STEP: Final = re.compile(
    r"""\.(?P<name>[^\s.\[\]'"*?@$(),:]+)|\['(?P<single>[^'\\]+)'\]|\["(?P<double>[^"\\]+)"\]|\[(?P<place>[0-9]{1,6})\]"""
)
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])

Path = tuple[str | int, ...]
Members = Mapping[str, msgspec.Raw]


class PathError(ValueError):
    """The text is no path that is read; it says which are."""


def parse(text: str) -> Path:
    """The steps of a path, the first of them a name.

    Raises:
        PathError: it is another expression.
    """
    found: list[str | int] = []
    at = 1
    while text[:1] == "$" and at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            break
        place = step["place"]
        found.append(int(place) if place is not None else step["name"] or step["single"] or step["double"])
        at = step.end()
    if at != len(text) or not found or isinstance(found[0], int):
        raise PathError(
            f"{text[:100]!r} is no path that is read; write one like $.tokens, $.usage.total or $['a b'][0]"
        )
    return tuple(found)


def find(members: Members, path: Path) -> msgspec.Raw | None:
    """The string, number or boolean at a path, as it is written; None where there is nothing else, null or a whole
    object or list."""
    raw = members.get(str(path[0]))
    for step in path[1:]:
        if raw is None:
            return None
        try:
            raw = _object.decode(raw).get(step) if isinstance(step, str) else _at(_list.decode(raw), step)
        except UNREADABLE:
            return None
    if raw is None or bytes(raw)[:1] in (b"{", b"[", b"n"):
        return None
    return raw


def _at(items: list[msgspec.Raw], place: int) -> msgspec.Raw | None:
    return items[place] if place < len(items) else None
