"""Documents by kind and id, in memory and, with a file, in SQLite: written before anybody is answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Document = dict[str, Any]

INDEXED: Final = {
    "meter_event": ("series", "identifier"),
    "invoiceitem": ("customer", "invoice"),
    "invoice": ("customer", "status"),
    "subscription": ("customer", "status"),
    "meter": ("event_name",),
    "delivery": ("state",),
    "credit_note": ("invoice",),
    "subscription_item": ("subscription",),
}


class Store:
    """A change stands once its transaction ended; one that raised leaves nothing.

    A document that was put is never changed in place: put another one.
    A process that is killed loses nothing that was answered; a machine that loses power may.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._documents: dict[str, dict[str, Document]] = {}
        self._found: dict[tuple[str, str], dict[Any, dict[str, None]]] = {}
        self._undo: list[tuple[str, str, Document | None]] = []
        self._database: sqlite3.Connection | None = None
        if file is not None:
            self._database = database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")
            database.execute(
                "CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, body TEXT NOT NULL, UNIQUE (kind, id))"
            )
            for kind, identity, body in database.execute("SELECT kind, id, body FROM documents ORDER BY rowid"):
                self._set(kind, identity, json.loads(body))

    def get(self, kind: str, identity: str) -> Document | None:
        return self._documents.get(kind, {}).get(identity)

    def every(self, kind: str) -> list[Document]:
        """Oldest first."""
        return list(self._documents.get(kind, {}).values())

    def find(self, kind: str, field: str, value: Any) -> list[Document]:
        """Those whose indexed ``field`` has this value."""
        documents = self._documents.get(kind, {})
        return [documents[identity] for identity in self._found.get((kind, field), {}).get(value, ())]

    def count(self, name: str) -> int:
        """The next number of a sequence, from 1."""
        number: int = (self.get("sequence", name) or {"last": 0})["last"] + 1
        self.put("sequence", name, {"last": number})
        return number

    def put(self, kind: str, identity: str, document: Document) -> None:
        self._undo.append((kind, identity, self.get(kind, identity)))
        self._set(kind, identity, document)

    def delete(self, kind: str, identity: str) -> None:
        self._undo.append((kind, identity, self.get(kind, identity)))
        self._set(kind, identity, None)

    @contextmanager
    def transaction(self) -> Iterator[None]:

        try:
            yield
            self._write()
        except BaseException:
            for kind, identity, before in reversed(self._undo):
                self._set(kind, identity, before)
            raise
        finally:
            self._undo.clear()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _write(self) -> None:
        changed = {(kind, identity): self.get(kind, identity) for kind, identity, _ in self._undo}
        if self._database is None or not changed:
            return
        gone = [key for key, document in changed.items() if document is None]
        kept = [(*key, json.dumps(document)) for key, document in changed.items() if document is not None]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("DELETE FROM documents WHERE kind = ? AND id = ?", gone)
            self._database.executemany(
                "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body", kept
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def _set(self, kind: str, identity: str, document: Document | None) -> None:
        documents = self._documents.setdefault(kind, {})
        before = documents.get(identity)
        for field in INDEXED.get(kind, ()):
            index = self._found.setdefault((kind, field), {})
            if before is not None and (document is None or document[field] != before[field]):
                index[before[field]].pop(identity)
                if not index[before[field]]:
                    del index[before[field]]
            if document is not None:
                index.setdefault(document[field], {})[identity] = None
        if document is None:
            documents.pop(identity, None)
        else:
            documents[identity] = document
