"""Writing the catalog: one change at a time, whoever makes it, decided on what is really there.

A change, what is to be told of it, and its entries in the audit log are one transaction: none is there without the
others. How the turn is taken and lost, and how a commit whose outcome nobody knows is found again: ``audit.log``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from meterline_schemas import topics
from meterline_schemas.audit import redact
from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.audit.log import AuditLog, Decided, Write, process_author
from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.entry import Entry
from meterline_schemas.catalog.metric import Metric
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.notification import MetricChanged, Notification, Type, notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.periods import FIRST
from meterline_schemas.settings import KafkaSettings

_TIMEOUT: Final = 30.0

Wanted = tuple[Entry, bool]  # an entry, and whether it is to be deleted
Decide = Callable[[Book], Sequence[Wanted]]


class Store:
    """The catalog of one installation, to be changed. Safe from several threads and processes.

    ``log`` is the audit log of this process, which changes share with everything else that is written into it.
    """

    def __init__(self, kafka: KafkaSettings, log: AuditLog | None = None) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topics.CONFIG)
        self._audit = log or AuditLog(kafka)
        self._log: KafkaLog | None = None
        self._book = Book()

    def read(self) -> Book:
        """The catalog as it is.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        book = Book()
        with closing(self._open()) as log:
            for record in log.read_to_end():
                book.apply(record.key, record.value)
        return book

    def change(self, decide: Decide, author: Author | None = None) -> list[Entry]:
        """Write what ``decide`` makes of the catalog, and return it: acknowledged, with its version and time.

        An entry that says what the catalog says already is returned as it is, and not written. The audit log names
        ``author``: without one, whoever runs this process.

        Raises:
            RefusedError: of ``decide``; nothing was written.
            UnavailableError: Kafka does not answer; whether it was written is to be read.
        """
        by = author or process_author()
        results: list[Entry] = []

        def decided() -> Decided:
            book = self._current()
            results[:], records, drafts = self._plan(book, decide(book), by)
            return records, drafts

        self._audit.write(decided)
        return results

    def close(self) -> None:
        """Once nobody changes anything any more."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _open(self) -> KafkaLog:
        return KafkaLog(self._kafka.client(), self._topic, 0, timeout=_TIMEOUT)

    def _current(self) -> Book:
        """The catalog up to its end; only what came since the last time is read."""
        if self._log is None:
            self._log, self._book = self._open(), Book()
        try:
            for record in self._audit.past_ours(self._log, topics.CONFIG):
                self._book.apply(record.key, record.value)
        except UnavailableError:
            self.close()
            raise
        return self._book

    def _plan(
        self, book: Book, wanted: Sequence[Wanted], author: Author
    ) -> tuple[list[Entry], list[Write], list[Draft]]:
        """What is returned, what is written, and what the audit log says of it."""
        now = datetime.now(UTC)
        results: list[Entry] = []
        told: list[Write] = []
        writes: list[Write] = []
        drafts: list[Draft] = []
        for entry, deleted in wanted:
            before = book.find(type(entry), entry.identity)
            entry = entry.following(before, now)
            if entry.same_as(before) and before is not None and not deleted:
                results.append(before)
                continue
            stamped = entry.stamped(1 if before is None else before.version + 1, now)
            results.append(stamped)
            writes.append(Write(topics.CONFIG, 0, stamped.record_key, None if deleted else stamped.encode()))
            if before is not None or not deleted:
                drafts.append(redact.change(author, before, None if deleted else stamped))
            if isinstance(stamped, Metric) and book.partitions:
                news = announcement(stamped, deleted=deleted)
                home = partition_of(news.tenant_id, book.partitions)
                told.append(Write(topics.NOTIFICATIONS, home, news.tenant_id.encode(), news.encode()))
        return results, [*writes, *told], drafts


def announcement(metric: Metric, *, deleted: bool) -> Notification:
    """What is told of a metric that was defined, changed or deleted."""
    type = Type.METRIC_DELETED if deleted else Type.METRIC_DEFINED if metric.version == 1 else Type.METRIC_UPDATED
    at = metric.changed_at or FIRST
    data = MetricChanged(metric=metric.model_dump(mode="json"))
    return notification(type, at, metric.tenant_id, data, (metric.key, str(metric.version), at.isoformat()))
