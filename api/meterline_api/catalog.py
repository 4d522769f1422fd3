"""The catalog in memory, read from ``meterline.config`` and kept up to date in the background."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar

from meterline_api import follower
from meterline_schemas.catalog import Book, Entry, Metric
from meterline_schemas.kafka_tail import Followed

log = logging.getLogger(__name__)

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


class Follower(follower.Follower):
    """Reads the topic into ``catalog`` as it grows, until ``stop``."""

    def __init__(self, catalog: Catalog, tail: follower.Tail) -> None:
        super().__init__("catalog", tail, catalog.apply, "the catalog has not been read yet")
