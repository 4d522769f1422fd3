"""The catalog as the notifier knows it, and thresholds that were deleted since."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

from meterline_schemas.catalog import Book, Threshold, Webhook
from meterline_schemas.kafka_log import LogReader

log = logging.getLogger(__name__)


class Catalog:
    """``refresh`` is for one thread; what it read is replaced whole and may be looked at from any."""

    def __init__(self, topic: LogReader) -> None:
        self._topic = topic
        self.book = Book()
        self.removed: Mapping[str, Threshold] = MappingProxyType({})

    def refresh(self) -> None:
        """Read the config topic to its end.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        records = list(self._topic.read_to_end())
        if not records:
            return
        book = self.book.copy()
        removed = dict(self.removed)
        for record in records:
            kind, _, identity = (record.key or b"").decode(errors="replace").partition("/")
            before = book.find(Threshold, identity) if kind == Threshold.kind else None
            problem = book.apply(record.key, record.value)
            if problem is not None:
                log.warning("record %d of the config topic is passed over: %s", record.offset, problem)
            if before is not None and record.value is None:
                removed[identity] = before
        self.book, self.removed = book, MappingProxyType(removed)

    def webhook(self, webhook_id: str) -> Webhook | None:
        return self.book.find(Webhook, webhook_id)
