"""Rows as text, the same from a topic's line as from ClickHouse's table. Pure.

A row is a list of texts, its key first. Each side hashes the texts, joined, with XXH3-64, which both Python and
ClickHouse have; a sum of such hashes tells in eight bytes whether many rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import xxhash
from msgspec import Struct

SEPARATOR: Final = "\x00"  # no name of an event may hold it
_WITHIN: Final = "\x1f"  # between properties
_MASK: Final = "*"  # in place of what was erased on purpose

Texts = list[str]


class _Accepted(Struct, gc=False):
    """A line of ``usage.accepted``, as documented."""

    tenant_id: str
    metric: str
    timestamp: str
    id: str
    quantity: str
    kafka_partition: int
    kafka_offset: int
    kafka_line: int
    late: int = 0
    subject: str = ""
    source: str = ""
    properties: dict[str, str] | None = None


class _Rejected(Struct, gc=False):
    """A line of ``usage.rejected``, as documented; of the raw line its hash is enough."""

    reason: str
    kafka_partition: int
    kafka_offset: int
    kafka_line: int
    raw_sha256: str
    tenant_id: str = ""
    metric: str = ""
    id: str = ""
    lines: int = 1


class _Total(Struct, gc=False):
    """A record of ``usage.totals``, as documented."""

    tenant_id: str
    metric: str
    hour: str
    kafka_partition: int
    version: int
    count: int
    sum: str
    min: str
    max: str
    last: str
    last_timestamp: str
    last_id: str


class Row(Struct, gc=False):
    """A row: its texts, and where it was judged. ``lines`` are covered by it; ``version`` is of a total."""

    texts: Texts
    partition: int
    offset: int = 0
    line: int = 0
    late: int = 0
    lines: int = 1
    version: int = 0


@dataclass(frozen=True)
class Shape:
    """A table and the topic that fills it: each text of a row by its name and, in SQL, its expression."""

    topic: str
    table: str
    key: Mapping[str, str]
    values: Mapping[str, str]
    read: Callable[[bytes], list[Row]]

    @property
    def names(self) -> list[str]:
        return [*self.key, *self.values]

    @property
    def texts_sql(self) -> str:
        """An array of the texts."""
        return f"[{', '.join((*self.key.values(), *self.values.values()))}]"

    @property
    def hash_sql(self) -> str:
        return _hash_sql((*self.key.values(), *self.values.values()))

    @property
    def key_hash_sql(self) -> str:
        return _hash_sql(tuple(self.key.values()))

    def key_of(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(texts[: len(self.key)])

    def key_fields(self, key: Sequence[str]) -> dict[str, str]:
        return dict(zip(self.key, key, strict=True))

    def fields(self, texts: Sequence[str]) -> dict[str, str]:
        """The values of a row by name, as people read them."""
        values = texts[len(self.key) :]
        return {name: value.replace(_WITHIN, " ") for name, value in zip(self.values, values, strict=True)}

    def hashes(self, texts: Texts) -> tuple[int, int]:
        """64 bits of the key and of the whole row."""
        key = xxhash.xxh3_64_intdigest(SEPARATOR.join(texts[: len(self.key)]).encode())
        return key, xxhash.xxh3_64_intdigest(SEPARATOR.join(texts).encode())


def _hash_sql(expressions: tuple[str, ...]) -> str:
    separator = ", '\\0', "
    return f"xxh3(concat({separator.join(expressions)}))"


def instant(text: str) -> str:
    """RFC 3339 in UTC as ClickHouse writes a DateTime64(3): ``2026-11-21 05:00:00.120``."""
    return f"{text[:10]} {text[11:19]}.{text[20:-1][:3]:0<3}"


def second(text: str) -> str:
    """RFC 3339 in UTC as ClickHouse writes a DateTime."""
    return f"{text[:10]} {text[11:19]}"


def decimal(text: str) -> str:
    """A plain decimal without zeros at its end, as ClickHouse writes it."""
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


_accepted: Final = msgspec.json.Decoder(_Accepted)
_rejected: Final = msgspec.json.Decoder(_Rejected)
_total: Final = msgspec.json.Decoder(_Total)


IsErased = Callable[[str, int, int], bool]  # of a tenant, partition and offset


def _read_accepted(value: bytes, is_erased: IsErased | None = None) -> list[Row]:
    rows = []
    for line in _accepted.decode_lines(value):
        properties, subject = line.properties, line.subject
        if is_erased is not None and is_erased(line.tenant_id, line.kafka_partition, line.kafka_offset):
            subject = subject and _MASK
            properties = {name: text and _MASK for name, text in (properties or {}).items()}
        texts = [
            line.tenant_id,
            line.metric,
            instant(line.timestamp),
            line.id,
            decimal(line.quantity),
            str(line.late),
            str(line.kafka_offset),
            str(line.kafka_line),
            subject,
            line.source,
            _WITHIN.join([f"{name}={value}" for name, value in properties.items()]) if properties else "",
        ]
        rows.append(Row(texts, line.kafka_partition, line.kafka_offset, line.kafka_line, line.late))
    return rows


def _read_rejected(value: bytes) -> list[Row]:
    rows = []
    for line in _rejected.decode_lines(value):
        texts = [
            str(line.kafka_offset),
            str(line.kafka_line),
            line.reason,
            str(line.lines),
            line.tenant_id,
            line.metric,
            line.id,
            line.raw_sha256,
        ]
        rows.append(Row(texts, line.kafka_partition, line.kafka_offset, line.kafka_line, lines=line.lines))
    return rows


def _read_total(value: bytes) -> list[Row]:
    total = _total.decode(value)
    texts = [
        total.tenant_id,
        total.metric,
        second(total.hour),
        str(total.kafka_partition),
        str(total.version),
        str(total.count),
        *(decimal(text) for text in (total.sum, total.min, total.max, total.last)),
        instant(total.last_timestamp),
        total.last_id,
    ]
    return [Row(texts, total.kafka_partition, version=total.version)]


def _columns(names: str) -> dict[str, str]:
    """Text columns as they are."""
    return {name: f"toString({name})" for name in names.split()}


EVENTS: Final = Shape(
    topic="usage.accepted",
    table="usage_events_raw",
    key=_columns("tenant_id metric timestamp id"),
    values=_columns("quantity late kafka_offset kafka_line subject source")
    | {
        "properties": "arrayStringConcat(arrayMap((name, value) -> concat(toString(name), '=', value), "
        "mapKeys(properties), mapValues(properties)), '\\x1f')"
    },
    read=_read_accepted,
)


def events_without(erased: str, is_erased: IsErased) -> Shape:
    """``EVENTS`` where some rows have a mask in place of their subject and the values of their properties.

    ``erased`` is a condition in SQL, true of the rows that ``is_erased`` names.
    """
    properties = (
        f"arrayStringConcat(arrayMap((name, value) -> concat(toString(name), '=', if(value = '', '', '{_MASK}')), "
        "mapKeys(properties), mapValues(properties)), '\\x1f')"
    )
    masked = {"subject": f"if(subject = '', '', '{_MASK}')", "properties": properties}
    values = {
        name: f"if({erased}, {masked[name]}, {sql})" if name in masked else sql for name, sql in EVENTS.values.items()
    }
    return replace(EVENTS, values=values, read=lambda value: _read_accepted(value, is_erased))


REJECTS: Final = Shape(
    topic="usage.rejected",
    table="rejected_events",
    key=_columns("kafka_offset kafka_line"),
    values=_columns("reason lines tenant_id metric id raw_sha256"),
    read=_read_rejected,
)
TOTALS: Final = Shape(
    topic="usage.totals",
    table="usage_totals",
    key=_columns("tenant_id metric hour kafka_partition"),
    values=_columns("version count sum min max last last_timestamp last_id"),
    read=_read_total,
)
