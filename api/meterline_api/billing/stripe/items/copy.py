"""The newest record of each document in billing.items, in SQLite: memory stays flat.

A copy, never more: where it is missing, or is of another topic, it is made anew from the topic. Several processes may
share a file: a record never takes the place of one that lies behind it in the topic.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from meterline_api.billing.stripe.items.errors import ItemsError
from meterline_schemas import topics
from meterline_schemas.billing.item import ITEMS, MARK, Items, read_items, read_mark
from meterline_schemas.kafka_log import Record
from meterline_schemas.reading import UNREADABLE

_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), topic TEXT, next INTEGER, last BLOB);
CREATE TABLE IF NOT EXISTS mark (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER, lies INTEGER);
CREATE TABLE IF NOT EXISTS items (
    number TEXT PRIMARY KEY, customer TEXT, open INTEGER, record BLOB, lies INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open ON items (number) WHERE open;
CREATE INDEX IF NOT EXISTS customers ON items (customer, number);
"""
_AT_ONCE: Final = 500


class Copy:
    """``path``: a file, or empty: a temporary one. ``topic`` is the full name. To be used by one thread at a time."""

    def __init__(self, path: str, topic: str) -> None:
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if self._db.execute("PRAGMA user_version").fetchone()[0] not in (0, _VERSION):
            self._db.executescript("DROP TABLE IF EXISTS place; DROP TABLE IF EXISTS mark; DROP TABLE IF EXISTS items;")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.executescript(_TABLES)
        self._topic = topic
        if self._db.execute("SELECT topic FROM place").fetchone() not in ((topic,), None):
            self.clear()

    @property
    def position(self) -> int | None:
        """The offset after the last record that it has; None: it has none."""
        found = self._db.execute("SELECT next FROM place").fetchone()
        return None if found is None else int(found[0])

    @property
    def mark(self) -> int | None:
        """Where ``billing.invoices`` is to be read on; None: from its start."""
        found = self._db.execute("SELECT next FROM mark").fetchone()
        return None if found is None else int(found[0])

    def agrees(self, record: Record) -> bool:
        """Whether a record, if it lies at the last offset that is known, is the one that is known to lie there."""
        found = self._db.execute("SELECT next, last FROM place").fetchone()
        return found is None or record.offset != found[0] - 1 or found[1] == _print_of(record)

    def clear(self) -> None:
        self._db.executescript("DELETE FROM place; DELETE FROM mark; DELETE FROM items;")

    def take(self, records: Sequence[Record]) -> None:
        """Records in the order of the topic.

        Raises:
            ItemsError: one cannot be read; none is taken.
        """
        if not records:
            return
        read = [(record, _read(record)) for record in records if record.value is not None]
        last = records[-1]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for record, found in read:
                if isinstance(found, Items):
                    self._db.execute(
                        "INSERT INTO items VALUES (?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET "
                        "customer = excluded.customer, open = excluded.open, record = excluded.record, "
                        "lies = excluded.lies WHERE excluded.lies > items.lies",
                        (found.number, found.customer, found.is_open, record.value, record.offset),
                    )
                else:
                    self._db.execute(
                        "INSERT INTO mark VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
                        "next = excluded.next, lies = excluded.lies WHERE excluded.lies > mark.lies",
                        (found, record.offset),
                    )
            self._db.execute(
                "INSERT INTO place VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET "
                "topic = excluded.topic, next = excluded.next, last = excluded.last WHERE excluded.next > place.next",
                (self._topic, last.offset + 1, _print_of(last)),
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def find(self, number: str) -> Items | None:
        found = self._db.execute("SELECT record FROM items WHERE number = ?", (number,)).fetchone()
        return None if found is None else read_items(found[0])

    def open(self, after: str = "", limit: int = _AT_ONCE) -> list[Items]:
        """Those of which something is to be done, in the order of their numbers, from behind ``after`` on."""
        sql = "SELECT record FROM items WHERE open AND number > ? ORDER BY number LIMIT ?"
        return [read_items(record) for (record,) in self._db.execute(sql, (after, limit)).fetchall()]

    def by_customer(self) -> Iterator[Items]:
        """All that have a customer, those of one together."""
        customer, number = "", ""
        while True:
            found = self._db.execute(
                "SELECT record FROM items WHERE customer != '' AND (customer, number) > (?, ?) "
                "ORDER BY customer, number LIMIT ?",
                (customer, number, _AT_ONCE),
            ).fetchall()
            for (record,) in found:
                items = read_items(record)
                customer, number = items.customer, items.number
                yield items
            if not found:
                return

    def close(self) -> None:
        self._db.close()


def _read(record: Record) -> Items | int:
    """The items, or where the mark is."""
    value = record.value or b""
    try:
        if record.key == MARK:
            return read_mark(value).next
        if (record.key or b"").startswith(ITEMS.encode()):
            return read_items(value)
    except UNREADABLE as error:
        raise ItemsError(topics.ITEMS, record.offset, str(error)) from None
    raise ItemsError(topics.ITEMS, record.offset, f"its key is {record.key!r}")


def _print_of(record: Record) -> bytes:
    return hashlib.sha256((record.key or b"") + b"\0" + (record.value or b"")).digest()
