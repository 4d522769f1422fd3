"""The catalog in memory, read from ``meterline.config`` and kept up to date in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, TypeVar

from meterline_schemas.catalog import Book, Entry, Metric
from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_tail import Followed

log = logging.getLogger(__name__)

_ONE_READ: Final = 0.1  # seconds: a change is seen about so much after it was committed
_AFTER_TROUBLE: Final = 1.0

Kind = TypeVar("Kind", bound=Entry)


class Catalog:
    """The newest of each entry. A deleted metric keeps its last definition: its usage is still answered.

    ``book`` never changes: a newer one takes its place. A reader that needs several answers of one state keeps it.
    """

    def __init__(self) -> None:
        self.book = Book()

    @property
    def partitions(self) -> int:
        return self.book.partitions or 0

    def metric(self, key: str) -> Metric | None:
        return self.book.metrics.get(key)

    def find(self, kind: type[Kind], identity: str) -> Kind | None:
        return self.book.find(kind, identity)

    def all(self, kind: type[Kind]) -> Iterator[Kind]:
        return self.book.all(kind)

    def apply(self, records: Iterable[Followed]) -> None:
        """Take over records of the topic; one that cannot be read changes nothing."""
        book = self.book.copy()
        for record in records:
            problem = book.apply(record.key, record.value)
            if problem is not None:
                log.warning("record %d of the config topic is passed over: %s", record.offset, problem)
        self.book = book


class Tail(Protocol):
    @property
    def caught_up(self) -> bool: ...
    def read(self, seconds: float) -> list[Followed]: ...
    def close(self) -> None: ...


class Follower(threading.Thread):
    """Reads the topic into ``catalog`` as it grows, until ``stop``; ``ready`` once all of it has been read."""

    def __init__(self, catalog: Catalog, tail: Tail) -> None:
        super().__init__(name="catalog", daemon=True)
        self._catalog = catalog
        self._tail = tail
        self._stopping = threading.Event()
        self.ready = False
        self.trouble = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                records = self._tail.read(_ONE_READ)
                if records:
                    self._catalog.apply(records)
                self.ready = self.ready or self._tail.caught_up
                self.trouble = ""
            except MeterlineError as error:
                if str(error) != self.trouble:
                    log.warning("%s", error)
                self.trouble = str(error)
                self._stopping.wait(_AFTER_TROUBLE)
        self._tail.close()

    def stop(self) -> None:
        self._stopping.set()
