"""The catalog, as a copy of the config topic."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Final

from meterline_schemas.catalog import Book, Webhook
from meterline_schemas.kafka_log import LogReader
from meterline_streams.limits import Limits

log = logging.getLogger("meterline.streams")

_WEBHOOK: Final = f"{Webhook.kind}/".encode()


class Catalog:
    """``book`` is replaced whole, by ``refresh``, which reads the config topic to its end. Thread-safe."""

    def __init__(self, topic: LogReader) -> None:
        self._topic = topic
        self._lock = Lock()
        self.book = Book()
        self.limits = Limits(self.book, 1)

    @property
    def partitions(self) -> int | None:
        return self.book.partitions

    def refresh(self) -> None:
        """Take in every entry written so far; one that cannot be read is passed over."""
        with self._lock:
            book, limits_changed = None, False
            for record in self._topic.read_to_end():
                book = book or self.book.copy()
                limits_changed |= not (record.key or b"").startswith(_WEBHOOK)
                problem = book.apply(record.key, record.value)
                if problem is not None:
                    log.warning("record %d of the config topic is passed over: %s", record.offset, problem)
            if book is not None:
                self.book = book
            if book is not None and limits_changed:
                self.limits = Limits(book, book.partitions or 1)
