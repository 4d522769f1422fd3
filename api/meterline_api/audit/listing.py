"""The audit log as SQL: a request in, a statement with parameters out, and its rows read. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from meterline_api.opaque import opaque, plain
from meterline_schemas.audit.entry import instant

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 10_413_791_999_999  # 2299-12-31T23:59:59.999Z: what DateTime64(3) holds
_CURSOR: Final = re.compile(r"([0-9]{1,18}) ([0-9]{1,18})", re.ASCII)

_COLUMNS: Final = (
    "seq", "id", "at", "actor", "origin", "request_id", "action", "resource_type", "resource_id", "tenant_id",
    "before", "after", "details", "previous", "hash",
)  # fmt: skip
_JSON: Final = {"before", "after", "details"}


class Place(NamedTuple):
    """Where an entry stands in the log."""

    seq: int
    offset: int


@dataclass(frozen=True)
class AuditQuery:
    """Entries of ``[start, end)``, the newest first; ``after`` is the last one that was given.

    ``tenants`` are whom they are about; None: everybody, and what is of nobody.
    """

    actor: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    tenants: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 100
    after: Place | None = None


def build(query: AuditQuery) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. One row more than ``limit`` is asked for: it says that there are more."""
    parameters: dict[str, Any] = {"limit": query.limit + 1}
    conditions = []
    for name in ("actor", "action", "resource_type", "resource_id"):
        value = getattr(query, name)
        if value is not None:
            conditions.append(f"a.{name} = {{{name}:String}}")
            parameters[name] = value
    if query.tenants is not None:
        conditions.append("a.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(query.tenants)
    for name, sign, moment in (("from", ">=", query.start), ("to", "<", query.end)):
        if moment is not None:
            conditions.append(f"a.at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = min(max(-((_EPOCH - moment) // _MILLISECOND), 0), _LAST_MS)
    if query.after is not None:
        conditions.append("(a.seq, a.kafka_offset) < ({after_seq:UInt64}, {after_offset:Int64})")
        parameters |= {"after_seq": query.after.seq, "after_offset": query.after.offset}
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = ", ".join(f"toUnixTimestamp64Milli(a.{name})" if name == "at" else f"a.{name}" for name in _COLUMNS)
    sql = (
        f"SELECT {columns}, a.kafka_offset FROM audit_log AS a FINAL{where} "
        "ORDER BY a.seq DESC, a.kafka_offset DESC LIMIT {limit:UInt32}"
    )
    return sql, parameters


def read(row: Sequence[Any]) -> dict[str, Any]:
    """A row of ``build`` as it is answered."""
    found = dict(zip(_COLUMNS, row, strict=False))
    found["at"] = instant(_EPOCH + found["at"] * _MILLISECOND)
    return {name: msgspec.Raw(value.encode()) if name in _JSON else value for name, value in found.items()}


def write_cursor(row: Sequence[Any]) -> str:
    """The place of a row of ``build``, as text that callers need not understand."""
    return opaque(f"{row[0]} {row[-1]}")


def read_cursor(text: str) -> Place | None:
    """The place that ``write_cursor`` wrote; None where it wrote no such text."""
    found = _CURSOR.fullmatch(plain(text) or "")
    return Place(int(found[1]), int(found[2])) if found else None
