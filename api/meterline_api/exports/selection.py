"""What an export is about, where a pull of it stands, and what it held: with their forms in URLs and headers. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from meterline_api.exports.tables import Table
from meterline_api.formats.table import Kind
from meterline_api.usage.query import Window
from meterline_schemas.errors import MeterlineError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
LAST_MS: Final = 2**32 * 1000
_WORD: Final = 2**64
_FORM: Final = 1  # of snapshots; another one when the text of rows changes

Key = tuple[str | int, ...]
Positions = tuple[tuple[int, int], ...]


class CursorError(MeterlineError):
    """The cursor is none for this export."""


class Definition(msgspec.Struct, frozen=True):
    """What usage needs to know of a metric."""

    key: str
    aggregation: str
    unit: str


@dataclass(frozen=True)
class Selection:
    """Rows in ``[start, end)``, milliseconds since 1970, of these tenants (None: everybody's) and this metric.

    ``positions`` are the last offset of each Kafka partition that counts; None: all rows. Usage at positions is
    computed from the events. ``since``: of that only rows that an event behind these positions is in.
    """

    table: Table
    start: int
    end: int
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    window: Window | None = None
    positions: Positions | None = None
    definitions: tuple[Definition, ...] = field(default=(), repr=False)
    since: Positions | None = None


@dataclass(frozen=True)
class Sum:
    """What rows come to: equal for the same rows and, but for a collision of 128 bits of hashes, only for them."""

    count: int = 0
    total: int = 0
    mix: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, (self.total + other.total) % _WORD, self.mix ^ other.mix)


@dataclass(frozen=True)
class Snapshot:
    """What a selection held at an instant, and up to which positions."""

    sum: Sum
    positions: Positions | None

    def __str__(self) -> str:
        flat = None if self.positions is None else [number for pair in self.positions for number in pair]
        packed = msgspec.msgpack.encode([_FORM, self.sum.count, self.sum.total, self.sum.mix, flat])
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read_snapshot(text: str) -> Snapshot | None:
    """What ``str`` made of one; None: it is none."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        form, count, total, mix, flat = msgspec.msgpack.decode(packed, type=tuple[int, int, int, int, list[int] | None])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
    fits = form == _FORM and all(0 <= number < _WORD for number in (count, total, mix))
    if not fits or (flat is not None and not all(-1 <= number < 2**63 for number in flat)):
        return None
    positions = None if flat is None else tuple(zip(flat[::2], flat[1::2], strict=False))
    if positions is not None and any(partition >= 2**31 for partition, _offset in positions):
        return None
    return Snapshot(Sum(count, total, mix), positions)


def etag(snapshot: Snapshot, *variant: str) -> str:
    """A strong entity tag: of a snapshot in a format and, if packed, an encoding."""
    return f'"{".".join([str(snapshot), *filter(None, variant)])}"'


def snapshot_in(tag: str) -> Snapshot | None:
    """The snapshot of an entity tag, with or without its quotes."""
    return read_snapshot(tag.strip().removeprefix("W/").strip('"').partition(".")[0])


def write_cursor(table: Table, after: Key, positions: Positions | None) -> str:
    """Where the next page begins; of which snapshot, if it has positions."""
    names: list[Any] = [
        instant(value) if kind is Kind.INSTANT and isinstance(value, int) else value
        for kind, value in zip(table.key_kinds, after, strict=True)
    ]
    body = names if positions is None else {"after": names, "positions": positions}
    return base64.urlsafe_b64encode(msgspec.json.encode(body)).rstrip(b"=").decode()


def read_cursor(table: Table, text: str) -> tuple[Key, Positions | None]:
    """What ``write_cursor`` wrote, or a JSON array of a row's key columns as a caller may write it, in base64.

    Raises:
        CursorError: it is neither.
    """
    problem = CursorError(
        f"cursor is none of this export: take next_cursor of a page, or base64 of a JSON array of {table.key_names}"
    )
    try:
        body = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        names, positions = body, None
        if isinstance(body, dict):
            names = body["after"]
            positions = msgspec.convert(body["positions"], type=list[tuple[int, int]])
        if not isinstance(names, list) or len(names) != len(table.key_kinds):
            raise problem
        after = tuple(_part(kind, name) for kind, name in zip(table.key_kinds, names, strict=True))
    except (binascii.Error, msgspec.MsgspecError, ValueError, KeyError, OverflowError):
        raise problem from None
    if positions is not None and not all(0 <= one < 2**31 and -1 <= other < 2**63 for one, other in positions):
        raise problem
    return after, None if positions is None else tuple(positions)


def _part(kind: Kind, value: Any) -> str | int:
    match kind:
        case Kind.INSTANT if isinstance(value, str):
            found = milliseconds(datetime.fromisoformat(value))
            if not 0 <= found <= LAST_MS:
                raise ValueError("no usage lies there")
            return found
        case Kind.INTEGER if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return value
        case Kind.TEXT if isinstance(value, str):
            return value
        case _:
            raise ValueError("not of the column's kind")


def milliseconds(moment: datetime) -> int:
    """Since 1970, cut.

    Raises:
        ValueError: it has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset, such as Z")
    return (moment.astimezone(UTC) - _EPOCH) // _MS


def instant(since: int) -> str:
    """RFC 3339."""
    return (_EPOCH + since * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def definitions(metrics: Sequence[tuple[str, str, str]]) -> tuple[Definition, ...]:
    return tuple(Definition(*one) for one in sorted(metrics))
