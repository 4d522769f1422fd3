"""The metrics that are defined, as a copy of the config topic."""

from __future__ import annotations

from threading import Lock

import msgspec

from meterline_schemas.catalog import KEY_PREFIX, PARTITION_COUNT_KEY, Metric, PartitionCount
from meterline_schemas.kafka_log import LogReader


class Catalog:
    """Metrics by key. ``refresh`` reads the config topic to its current end; safe from several threads."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._lock = Lock()
        self.metrics: dict[str, Metric] = {}
        self.partitions: int | None = None

    def refresh(self) -> None:
        """Take in every definition written so far. A deleted metric is retired: what it counted, it still counts."""
        with self._lock:
            metrics = dict(self.metrics)
            for record in self._log.read_to_end():
                if record.key is None:
                    continue
                if record.key == PARTITION_COUNT_KEY and record.value is not None:
                    self.partitions = msgspec.json.decode(record.value, type=PartitionCount).partitions
                elif record.key.startswith(KEY_PREFIX.encode()):
                    key = record.key.decode()[len(KEY_PREFIX) :]
                    if record.value is not None:
                        metrics[key] = Metric.decode(record.value)
                    elif key in metrics:
                        metrics[key] = msgspec.structs.replace(metrics[key], retired=True)
            self.metrics = metrics
