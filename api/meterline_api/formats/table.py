"""What a table is, whatever it is written as: columns with a kind each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What a table is written as: the words of ``format=``."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    @property
    def content_type(self) -> str:
        """The media type with its parameters."""
        return "text/csv; charset=utf-8; header=present" if self is Format.CSV else self.media_type


_MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.NDJSON: "application/x-ndjson",
}


class Kind(StrEnum):
    """What a column holds. A number is exact in every format.

    ``DECIMAL`` has up to 38 digits, ``WIDE`` up to 76, both 9 of them behind the point; as text they are plain, without
    trailing zeros, and in JSON they are strings. ``INSTANT`` is UTC to the millisecond. ``JSON`` is a document: a
    value in JSON, text elsewhere.
    """

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    WIDE = "wide"
    INSTANT = "instant"
    FLAG = "flag"
    JSON = "json"


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    nullable: bool = False
