"""Writing the catalog: one change at a time, whoever makes it, decided on what is really there.

1. take the turn: a transaction with one id for all writers, which ends whoever held it before;
2. read the topic to its end;
3. decide, purely, what to write;
4. write it, and what is to be told of it, and commit. A writer that lost its turn in between fails here: it begins
   again. Whether its commit came through after all, as the broker may answer neither way, step 2 of that tells.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

from meterline_schemas import topics
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
_ATTEMPTS: Final = 10
_LOST_THE_TURN: Final = {
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError.UNKNOWN,  # "unknown broker error": to a commit that meets the next writer's beginning
}

Write = tuple[Entry, bool]  # an entry, and whether it is to be deleted
Decide = Callable[[Book], Sequence[Write]]
KeyValue = tuple[bytes, bytes | None]


class _Change:
    """What a change wrote with its last attempt, whose outcome nobody knows, and what it returns if it stands."""

    def __init__(self) -> None:
        self.written: list[KeyValue] = []
        self.results: list[Entry] = []

    def stands(self, log: Sequence[KeyValue]) -> bool:
        """Whether the log has it: all of it then. An entry carries its version and time; who is deleted is gone."""
        entries = [pair for pair in self.written if pair[1] is not None]
        if entries:
            return entries[0] in log
        newest = dict(log)
        return bool(self.written) and newest.get(self.written[0][0]) is None


class Store:
    """The catalog of one installation, to be changed. Safe from several threads and processes."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topics.CONFIG)
        self._lock = threading.Lock()

    def read(self) -> Book:
        """The catalog as it is.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        return _book_of(self._read())

    def change(self, decide: Decide) -> list[Entry]:
        """Write what ``decide`` makes of the catalog, and return it: acknowledged, with its version and time.

        An entry that says what the catalog says already is returned as it is, and not written.

        Raises:
            RefusedError: of ``decide``; nothing was written.
            UnavailableError: Kafka does not answer; whether it was written is to be read.
        """
        with self._lock:
            change = _Change()
            for attempt in range(_ATTEMPTS):
                try:
                    return self._try(decide, change)
                except KafkaException as error:
                    if error.args[0].code() not in _LOST_THE_TURN or attempt == _ATTEMPTS - 1:
                        raise UnavailableError(f"cannot write {self._topic}: {error.args[0].str()}") from None
        raise AssertionError

    def _read(self) -> list[KeyValue]:
        with closing(KafkaLog(self._kafka.client(), self._topic, 0, timeout=_TIMEOUT)) as log:
            return [(record.key or b"", record.value) for record in log.read_to_end()]

    def _try(self, decide: Decide, change: _Change) -> list[Entry]:
        producer = Producer(
            {
                **self._kafka.client(),
                "transactional.id": self._kafka.topic("meterline-catalog"),
                "transaction.timeout.ms": 15_000,
                "linger.ms": 0,
                "log_level": 0,
            }
        )
        producer.init_transactions(_TIMEOUT)
        log = self._read()
        if change.stands(log):
            return change.results
        book = _book_of(log)
        now = datetime.now(UTC)
        results: list[Entry] = []
        writes: list[tuple[Entry, bool]] = []
        for entry, deleted in decide(book):
            before = book.find(type(entry), entry.identity)
            if entry.same_as(before) and before is not None and not deleted:
                results.append(before)
                continue
            stamped = entry.stamped(1 if before is None else before.version + 1, now)
            results.append(stamped)
            writes.append((stamped, deleted))
        change.results = results
        change.written = [(entry.record_key, None if deleted else entry.encode()) for entry, deleted in writes]
        if writes:
            producer.begin_transaction()
            for key, value in change.written:
                producer.produce(self._topic, value, key, 0)
            for entry, deleted in writes:
                if isinstance(entry, Metric) and book.partitions:
                    told = announcement(entry, deleted=deleted)
                    home = partition_of(told.tenant_id, book.partitions)
                    tenant = told.tenant_id.encode()
                    producer.produce(self._kafka.topic(topics.NOTIFICATIONS), told.encode(), tenant, home)
            producer.commit_transaction(_TIMEOUT)
        return results


def _book_of(log: Sequence[KeyValue]) -> Book:
    book = Book()
    for key, value in log:
        book.apply(key, value)
    return book


def announcement(metric: Metric, *, deleted: bool) -> Notification:
    """What is told of a metric that was defined, changed or deleted."""
    type = Type.METRIC_DELETED if deleted else Type.METRIC_DEFINED if metric.version == 1 else Type.METRIC_UPDATED
    at = metric.changed_at or FIRST
    data = MetricChanged(metric=metric.model_dump(mode="json"))
    return notification(type, at, metric.tenant_id, data, (metric.key, str(metric.version), at.isoformat()))
