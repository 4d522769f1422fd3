"""The catalog in memory, read from ``meterline.config`` and kept up to date in the background."""

from __future__ import annotations

import logging
import threading

from meterline_schemas.catalog import Book, Metric
from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_log import LogReader, Record

log = logging.getLogger(__name__)


class Catalog:
    """The newest of each entry. A deleted metric keeps its last definition: its usage is still answered."""

    def __init__(self) -> None:
        self.book = Book()

    @property
    def partitions(self) -> int:
        return self.book.partitions or 0

    def metric(self, key: str) -> Metric | None:
        return self.book.metrics.get(key)

    def apply(self, record: Record) -> None:
        """Take over one record of the topic; one that cannot be read changes nothing."""
        problem = self.book.apply(record.key, record.value)
        if problem is not None:
            log.warning("record %d of the config topic is passed over: %s", record.offset, problem)


class Follower(threading.Thread):
    """Reads the topic into ``catalog`` every ``seconds`` until ``stop``."""

    def __init__(self, catalog: Catalog, topic: LogReader, seconds: float) -> None:
        super().__init__(name="catalog", daemon=True)
        self._catalog = catalog
        self._topic = topic
        self._seconds = seconds
        self._stopping = threading.Event()
        self.trouble = "the config topic has not been read yet"

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                for record in self._topic.read_to_end():
                    self._catalog.apply(record)
                self.trouble = ""
            except MeterlineError as error:
                if str(error) != self.trouble:
                    log.warning("%s", error)
                self.trouble = str(error)
            self._stopping.wait(self._seconds)

    def stop(self) -> None:
        self._stopping.set()
