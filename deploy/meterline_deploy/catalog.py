"""Metric definitions on the cluster: read, and written where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meterline_deploy.cluster import Cluster
from meterline_schemas.catalog import Metric, changes
from meterline_schemas.catalog.store import Store
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import CONFIG


@dataclass(frozen=True)
class Change:
    """What applying a metric did: ``before`` is None for a new one and ``written`` is False where nothing differed."""

    before: Metric | None
    after: Metric

    @property
    def written(self) -> bool:
        return not self.after.same_as(self.before)


def read_metrics(kafka: KafkaSettings) -> Mapping[str, Metric]:
    """Every metric that is defined, by key; a deleted one is retired.

    Raises:
        ConfigurationError: the topics were never made.
        UnavailableError: Kafka does not answer.
    """
    return _store(kafka).read().metrics


def apply_metrics(kafka: KafkaSettings, metrics: Iterable[Metric]) -> list[Change]:
    """Write the metrics that differ from what is defined; acknowledged on return.

    Raises:
        RefusedError: one would change what past numbers mean; nothing was written.
        UnavailableError: Kafka does not answer.
    """
    store = _store(kafka)
    known = store.read().metrics
    wanted = list(metrics)
    store.change(lambda book: [(changes.check(book, metric), False) for metric in wanted])
    return [Change(known.get(metric.key), metric) for metric in wanted]


def _store(kafka: KafkaSettings) -> Store:
    topic = kafka.topic(CONFIG)
    if topic not in Cluster(kafka).topics():
        raise ConfigurationError(f"topic {topic} does not exist on {kafka.kafka}: run `meterline setup` first")
    return Store(kafka)
