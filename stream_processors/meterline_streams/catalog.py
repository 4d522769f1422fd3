"""The catalog, as a copy of the config topic."""

from __future__ import annotations

import logging
from collections.abc import Set
from threading import Lock
from typing import Final

from meterline_schemas.catalog import Book, Metric, Webhook
from meterline_schemas.kafka_log import LogReader
from meterline_streams.errors import DeniedPropertyError
from meterline_streams.limits import Limits

log = logging.getLogger("meterline.streams")

_WEBHOOK: Final = f"{Webhook.kind}/".encode()


class Catalog:
    """``book`` is replaced whole, by ``refresh``, which reads the config topic to its end. Thread-safe.

    No metric of it counts the values of a property that is ``denied``: the numbers would be wrong for ever.
    """

    def __init__(self, topic: LogReader, denied: Set[str] = frozenset()) -> None:
        self._topic = topic
        self._denied = denied
        self._lock = Lock()
        self.book = Book()
        self.limits = Limits(self.book, 1)

    @property
    def partitions(self) -> int | None:
        return self.book.partitions

    def refresh(self) -> None:
        """Take in every entry written so far; one that cannot be read is passed over.

        Raises:
            DeniedPropertyError: a metric counts the values of a property that nothing is kept of.
        """
        with self._lock:
            book, limits_changed = None, False
            for record in self._topic.read_to_end():
                book = book or self.book.copy()
                limits_changed |= not (record.key or b"").startswith(_WEBHOOK)
                problem = book.apply(record.key, record.value)
                if problem is not None:
                    log.warning("record %d of the config topic is passed over: %s", record.offset, problem)
            if book is not None:
                self._check(book)
                self.book = book
            if book is not None and limits_changed:
                self.limits = Limits(book, book.partitions or 1)

    def _check(self, book: Book) -> None:
        for metric in book.all(Metric):
            if metric.counts_any_of(self._denied):
                raise DeniedPropertyError(metric.key, metric.unique_by)
