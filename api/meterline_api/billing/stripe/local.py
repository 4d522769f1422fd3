"""A copy of a topic in SQLite, as far as all of them are alike: where it is read on, and what makes it begin anew.

A copy, never more: where it is missing, or is of another topic, it is made anew from the topic. Several processes may
share a file: its tables keep where each record lies, and none takes the place of one that lies behind it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from meterline_schemas.kafka_log import Record

_PLACE: Final = "place"
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), topic TEXT, next INTEGER, last BLOB)"
)
_MOVE: Final = """
INSERT INTO place VALUES (1, ?, ?, ?)
ON CONFLICT (one) DO UPDATE SET topic = excluded.topic, next = excluded.next, last = excluded.last
WHERE excluded.next > place.next
"""


class Local:
    """``path``: a file, or empty: a temporary one. ``topic`` is the full name of what it is a copy of.

    ``tables`` are the statements that make each table, by its name; one of another ``version`` begins anew. To be used
    by one thread at a time.
    """

    def __init__(self, path: str, topic: str, tables: Mapping[str, str], version: int) -> None:
        self.db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._topic = topic
        self._tables = (_PLACE, *tables)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        if self.db.execute("PRAGMA user_version").fetchone()[0] not in (0, version):
            self._each("DROP TABLE IF EXISTS {}")
        self.db.execute(f"PRAGMA user_version = {version}")
        self.db.executescript("; ".join((_TABLE, *tables.values())))
        if self.db.execute("SELECT topic FROM place").fetchone() not in ((topic,), None):
            self.clear()

    @property
    def position(self) -> int | None:
        """The offset after the last record that it has; None: it has none."""
        found = self.db.execute("SELECT next FROM place").fetchone()
        return None if found is None else int(found[0])

    def agrees(self, record: Record) -> bool:
        """Whether a record, if it lies at the last offset that is known, is the one that is known to lie there."""
        found = self.db.execute("SELECT next, last FROM place").fetchone()
        return found is None or record.offset != found[0] - 1 or found[1] == _print_of(record)

    def clear(self) -> None:
        self._each("DELETE FROM {}")

    @contextmanager
    def taking(self, last: Record) -> Iterator[None]:
        """A transaction that takes records up to ``last``, all of them or none."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute(_MOVE, (self._topic, last.offset + 1, _print_of(last)))
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def close(self) -> None:
        self.db.close()

    def _each(self, statement: str) -> None:
        self.db.executescript("; ".join(statement.format(table) for table in self._tables))


def _print_of(record: Record) -> bytes:
    return hashlib.sha256((record.key or b"") + b"\0" + (record.value or b"")).digest()
