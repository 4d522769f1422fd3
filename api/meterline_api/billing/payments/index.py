"""The newest record of each key of billing.payments, in SQLite beside memory: it does not grow with the invoices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from meterline_schemas.kafka_log import Record

_TABLE: Final = "CREATE TABLE newest (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"


class Index:
    """A copy that ends with the process: SQLite keeps it in a file without a name. For one thread at a time."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute(_TABLE)

    def take(self, records: Iterable[Record]) -> None:
        """Records in the order of the topic. What reading them raises, it raises; then none is taken."""
        self._db.execute("BEGIN")
        try:
            for record in records:
                if record.value is None:
                    self._db.execute("DELETE FROM newest WHERE key = ?", (record.key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?)", (record.key or b"", record.value))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def find(self, key: bytes) -> bytes | None:
        found = self._db.execute("SELECT value FROM newest WHERE key = ?", (key,)).fetchone()
        return None if found is None else bytes(found[0])

    def clear(self) -> None:
        self._db.execute("DELETE FROM newest")

    def close(self) -> None:
        self._db.close()
