"""The newest record of each document in billing.items, and the mark: a copy in SQLite, memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from meterline_api.billing.stripe.items.errors import ItemsError
from meterline_api.billing.stripe.local import Local
from meterline_schemas import topics
from meterline_schemas.billing.item import ITEMS, MARK, Items, read_items, read_mark
from meterline_schemas.kafka_log import Record
from meterline_schemas.reading import UNREADABLE

_VERSION: Final = 2
_MARK: Final = """
CREATE TABLE IF NOT EXISTS mark (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER, lies INTEGER)
"""
_ITEMS: Final = """
CREATE TABLE IF NOT EXISTS items (
    number TEXT PRIMARY KEY, customer TEXT, open INTEGER, record BLOB, lies INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open ON items (number) WHERE open;
CREATE INDEX IF NOT EXISTS customers ON items (customer, number)
"""
_PUT_MARK: Final = """
INSERT INTO mark VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET next = excluded.next, lies = excluded.lies WHERE excluded.lies > mark.lies
"""
_PUT_ITEMS: Final = """
INSERT INTO items VALUES (?, ?, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    customer = excluded.customer, open = excluded.open, record = excluded.record, lies = excluded.lies
WHERE excluded.lies > items.lies
"""
_AT_ONCE: Final = 500


class Copy:
    """``path``: a file, or empty: a temporary one. ``topic`` is the full name. To be used by one thread at a time."""

    def __init__(self, path: str, topic: str) -> None:
        self._local = Local(path, topic, {"mark": _MARK, "items": _ITEMS}, _VERSION)
        self._db = self._local.db

    @property
    def position(self) -> int | None:
        return self._local.position

    @property
    def mark(self) -> int | None:
        """Where ``billing.invoices`` is to be read on; None: from its start."""
        found = self._db.execute("SELECT next FROM mark").fetchone()
        return None if found is None else int(found[0])

    def agrees(self, record: Record) -> bool:
        return self._local.agrees(record)

    def clear(self) -> None:
        self._local.clear()

    def take(self, records: Sequence[Record]) -> None:
        """Records in the order of the topic.

        Raises:
            ItemsError: one cannot be read; none is taken.
        """
        if not records:
            return
        read = [(record, _read(record)) for record in records if record.value is not None]
        with self._local.taking(records[-1]):
            for record, found in read:
                if isinstance(found, Items):
                    row = (found.number, found.customer, found.is_open, record.value, record.offset)
                    self._db.execute(_PUT_ITEMS, row)
                else:
                    self._db.execute(_PUT_MARK, (found, record.offset))

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
        self._local.close()


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
