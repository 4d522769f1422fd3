"""Which of several media types a caller wants, by ``Accept`` (RFC 9110, 12.5.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from meterline_api.formats.table import Format


class _Range(NamedTuple):
    kind: str
    subkind: str
    weight: float
    place: int

    def fits(self, media_type: str) -> int:
        """How closely it names a media type: 0 not at all, 3 by its name."""
        kind, _, subkind = media_type.partition("/")
        if (self.kind, self.subkind) == (kind, subkind):
            return 3
        if (self.kind, self.subkind) == (kind, "*"):
            return 2
        return 1 if (self.kind, self.subkind) == ("*", "*") else 0


def negotiate(accept: str, offers: Sequence[Format]) -> Format | None:
    """The offer of the greatest weight; of several the one named most closely, then named first, then offered first.

    Without a header the first offer. None: none of them is wanted.
    """
    ranges = [_range(text, place) for place, text in enumerate(accept.split(",")) if text.strip()]
    if not ranges:
        return offers[0]
    best: tuple[float, int, int, int] | None = None
    chosen = None
    for place, offer in enumerate(offers):
        fitting = max(ranges, key=lambda one: (one.fits(offer.media_type), -one.place))
        closeness = fitting.fits(offer.media_type)
        if not closeness or fitting.weight <= 0:
            continue
        rank = (fitting.weight, closeness, -fitting.place, -place)
        if best is None or rank > best:
            best, chosen = rank, offer
    return chosen


def _range(text: str, place: int) -> _Range:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    kind, _, subkind = name.partition("/")
    weight = next((part.partition("=")[2] for part in parameters if part.startswith("q=")), "1")
    return _Range(kind.strip(), subkind.strip(), _weight(weight), place)


def _weight(text: str) -> float:
    """A weight from 0 to 1; what is none is as if it were not there."""
    try:
        found = float(text)
    except ValueError:
        return 1.0
    return found if 0 <= found <= 1 else 1.0
