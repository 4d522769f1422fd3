"""Metric definitions in memory, read from ``meterline.config`` and kept up to date in the background."""

from __future__ import annotations

import logging
import threading

import msgspec

from meterline_schemas.catalog import KEY_PREFIX, PARTITION_COUNT_KEY, Metric, PartitionCount
from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_log import LogReader, Record

log = logging.getLogger(__name__)

_PREFIX = KEY_PREFIX.encode()
_partition_count = msgspec.json.Decoder(PartitionCount)


class Catalog:
    """The newest definition of each metric. A deleted one keeps its last: its usage is still answered."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self.partitions = 0

    def metric(self, key: str) -> Metric | None:
        return self._metrics.get(key)

    def apply(self, record: Record) -> None:
        """Take over one record of the topic; one that cannot be read changes nothing."""
        if record.key is None or record.value is None:
            return
        try:
            if record.key.startswith(_PREFIX):
                metric = Metric.decode(record.value)
                self._metrics[metric.key] = metric
            elif record.key == PARTITION_COUNT_KEY:
                self.partitions = _partition_count.decode(record.value).partitions
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("record %d of the config topic is passed over: %s", record.offset, error)


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
