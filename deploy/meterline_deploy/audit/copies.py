"""The copy of the audit log in ClickHouse, as it is and as it must be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from meterline_deploy.audit.verdict import Problem
from meterline_schemas.audit.entry import AuditEntry

FIELDS: Final = AuditEntry.__struct_fields__
_EVERY: Final = 0.2

Texts = tuple[str, ...]
Row = tuple[int, Texts]  # seq, all fields as text


class Tables(Protocol):
    def rows(self, sql: str) -> Sequence[Sequence[object]]: ...


def texts(entry: AuditEntry) -> Texts:
    """All fields as the table has them."""
    found = []
    for name in FIELDS:
        value = getattr(entry, name)
        if name == "at":
            value = f"{value[:10]} {value[11:23]}"
        found.append(bytes(value).decode() if not isinstance(value, (int, str)) else str(value))
    return tuple(found)


def rows_of(tables: Tables, start: int, end: int | None = None) -> dict[int, list[Row]]:
    """The rows of records from offset ``start`` to before ``end``, by offset; one, unless somebody put one in."""
    columns = ", ".join(f"toString({name})" for name in FIELDS)
    before = "" if end is None else f" AND kafka_offset < {end}"
    found: dict[int, list[Row]] = {}
    for offset, seq, *fields in tables.rows(
        f"SELECT kafka_offset, seq, {columns} FROM audit_log FINAL WHERE kafka_offset >= {start}{before} "
        f"ORDER BY seq, kafka_offset{'' if end is not None else ' LIMIT 1000'}"
    ):
        found.setdefault(int(str(offset)), []).append((int(str(seq)), tuple(map(str, fields))))
    return found


def wait_for(tables: Tables, offset: int, seconds: float) -> None:
    """Until the row of the record at ``offset`` is there, or ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if tables.rows(f"SELECT 1 FROM audit_log WHERE kafka_offset >= {offset} LIMIT 1"):
            return
        time.sleep(_EVERY)


def compare(wanted: Mapping[int, AuditEntry], found: Mapping[int, Sequence[Row]]) -> list[Problem]:
    """Entries by offset against the rows of the same offsets. Pure."""
    problems = []
    for offset in sorted(wanted.keys() | found.keys()):
        entry, rows = wanted.get(offset), found.get(offset, ())
        if entry is not None and not any(seq == entry.seq for seq, _texts in rows):
            detail = "Kafka has it and the table does not"
            problems.append(Problem("clickhouse", "removed", entry.seq, offset, detail))
        for seq, row in rows:
            if entry is None or seq != entry.seq:
                detail = "the table has it and Kafka does not: it was put in"
                problems.append(Problem("clickhouse", "inserted", seq, offset, detail))
            elif row != texts(entry):
                pairs = zip(FIELDS, texts(entry), row, strict=True)
                names = ", ".join(name for name, one, other in pairs if one != other)
                detail = f"not as Kafka has it: {names}"
                problems.append(Problem("clickhouse", "edited", seq, offset, detail))
    return problems
