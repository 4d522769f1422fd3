"""Topics and tables as they must be: what ``meterline up`` does before its workers start, for servers of any kind."""

from __future__ import annotations

from dataclasses import dataclass

from meterline_deploy.cluster import Cluster
from meterline_deploy.topics import REPLICATED_FROM, ensure_topics, partitions_in_use
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_schemas.topics import DEFAULT_PARTITIONS


@dataclass(frozen=True)
class TopicsReport:
    """``differences``: a line for each setting that is not as it must be."""

    partitions: int
    replication: int
    differences: list[str]


def set_up_topics(kafka: KafkaSettings, partitions: int | None, replication: int | None = None) -> TopicsReport:
    """Make what is missing.

    ``partitions``: None for what was set up before, else the default. ``replication``: None for three where there are
    three brokers, else one; it counts for topics that are made now.

    Raises:
        PartitionCountError: another count was written down before.
        UnavailableError: Kafka does not answer.
    """
    if partitions is None:
        partitions = partitions_in_use(kafka) or DEFAULT_PARTITIONS
    if replication is None:
        replication = REPLICATED_FROM if len(Cluster(kafka).brokers()) >= REPLICATED_FROM else 1
    return TopicsReport(partitions, replication, ensure_topics(kafka, partitions, replication))


def applied_migrations(clickhouse: ClickHouseSettings) -> list[str]:
    """Bring the tables up to date; the names of the files that were applied now.

    Raises:
        MeterlineError: as ``meterline_sinks.migrate.migrate`` does.
    """
    from meterline_sinks.migrate import migrate

    return migrate(clickhouse)
