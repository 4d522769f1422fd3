"""Metric definitions on the cluster: read, and written where they differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meterline_deploy.cluster import Cluster
from meterline_schemas.catalog import Metric
from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import CONFIG
from meterline_streams.catalog import Catalog


@dataclass(frozen=True)
class Change:
    """What applying a metric did: ``before`` is None for a new one and equals ``after`` where nothing was written."""

    before: Metric | None
    after: Metric

    @property
    def written(self) -> bool:
        return self.before != self.after


def read_metrics(kafka: KafkaSettings) -> dict[str, Metric]:
    """Every metric that is defined, by key; a deleted one is retired.

    Raises:
        ConfigurationError: the topics were never made.
        UnavailableError: Kafka does not answer.
    """
    topic = kafka.topic(CONFIG)
    if topic not in Cluster(kafka).topics():
        raise ConfigurationError(f"topic {topic} does not exist on {kafka.kafka}: run `meterline setup` first")
    log = KafkaLog(kafka.client(), topic, 0)
    try:
        catalog = Catalog(log)
        catalog.refresh()
    finally:
        log.close()
    return catalog.metrics


def apply_metrics(kafka: KafkaSettings, metrics: Iterable[Metric]) -> list[Change]:
    """Write the metrics that differ from what is defined; acknowledged and read back on return.

    Raises:
        UnavailableError: Kafka does not answer, or does not give back what was written.
    """
    known = read_metrics(kafka)
    changes = [Change(known.get(metric.key), metric) for metric in metrics]
    written = [change.after for change in changes if change.written]
    if written:
        Cluster(kafka).write(kafka.topic(CONFIG), [(metric.record_key, metric.encode()) for metric in written])
        found = read_metrics(kafka)
        missing = [metric.key for metric in written if found.get(metric.key) != metric]
        if missing:
            raise UnavailableError(
                f"{', '.join(missing)}: written, but {kafka.topic(CONFIG)} gives back something else; "
                "somebody else changes it at the same time: apply the file again"
            )
    return changes
