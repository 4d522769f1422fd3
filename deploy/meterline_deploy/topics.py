"""Making the topics, and telling where they are not as they must be."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from meterline_deploy.cluster import Cluster, TopicState
from meterline_deploy.errors import OtherPartitionsError
from meterline_schemas import topics
from meterline_schemas.catalog import PARTITION_COUNT_KEY, PartitionCount
from meterline_schemas.errors import PartitionCountError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import CONFIG, TOPICS, Topic

REPLICATED_FROM = 3  # replicas, from which a write must reach two of them


@dataclass(frozen=True)
class Difference:
    """A setting of a topic that is not what it must be."""

    topic: str
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.setting} is {self.found}, must be {self.wanted}"


def ensure_topics(kafka: KafkaSettings, partitions: int, replication: int = 1) -> list[str]:
    """Create the topics that are missing and write the partition count down, once; nothing that exists is changed.

    Returns:
        a line for each setting of an existing topic that is not what it must be.

    Raises:
        PartitionCountError: Meterline was set up with another count, or a topic has another one.
        UnavailableError: Kafka does not answer.
    """
    cluster = Cluster(kafka)
    existing = cluster.topics()
    if kafka.topic(CONFIG) in existing:
        expected = written_down(kafka)
        if expected is not None and expected != partitions:
            raise OtherPartitionsError(kafka.topic(topics.EVENTS), expected, partitions)
    for topic in TOPICS:
        name = kafka.topic(topic.name)
        if name in existing and existing[name].partitions != count(topic, partitions):
            raise PartitionCountError(name, count(topic, partitions), existing[name].partitions)
    cluster.create(
        (TopicState(kafka.topic(topic.name), count(topic, partitions), replication), settings_of(topic, replication))
        for topic in TOPICS
        if kafka.topic(topic.name) not in existing
    )
    _write_down(kafka, cluster, partitions)
    return [str(difference) for difference in differences(kafka, cluster)]


def written_down(kafka: KafkaSettings) -> int | None:
    """The partition count that was written down at the first set-up; None where there was none.

    Raises:
        UnavailableError: Kafka does not answer, or has no ``meterline.config``.
    """
    found = None
    log = KafkaLog(kafka.client(), kafka.topic(CONFIG), 0)
    try:
        for record in log.read_to_end():
            if record.key == PARTITION_COUNT_KEY and record.value is not None:
                found = msgspec.json.decode(record.value, type=PartitionCount).partitions
    finally:
        log.close()
    return found


def partitions_in_use(kafka: KafkaSettings) -> int | None:
    """The partition count of an installation that is set up already; None where there is none yet."""
    if kafka.topic(CONFIG) not in Cluster(kafka).topics():
        return None
    return written_down(kafka)


def differences(kafka: KafkaSettings, cluster: Cluster) -> list[Difference]:
    """Where topics that exist are set otherwise than they must be."""
    existing = cluster.topics()
    names = {kafka.topic(topic.name): topic for topic in TOPICS if kafka.topic(topic.name) in existing}
    found = cluster.settings(names)
    return [
        Difference(name, setting, found[name].get(setting, "not known to this broker"), wanted)
        for name, topic in names.items()
        for setting, wanted in settings_of(topic, existing[name].replication).items()
        if not same(found[name].get(setting), wanted)
    ]


def correct(kafka: KafkaSettings) -> list[Difference]:
    """Set what differs to what it must be; returns what was changed."""
    cluster = Cluster(kafka)
    found = differences(kafka, cluster)
    for name in {difference.topic for difference in found}:
        cluster.change(name, {each.setting: each.wanted for each in found if each.topic == name})
    return found


def count(topic: Topic, partitions: int) -> int:
    """The partitions of a topic, where ``usage.events`` has ``partitions``."""
    return partitions if topic.partitioned == "like_events" else 1


def settings_of(topic: Topic, replication: int) -> dict[str, str]:
    """The settings that a topic with so many replicas must have."""
    return {**topic.settings, **(topics.REPLICATED if replication >= REPLICATED_FROM else {})}


def same(found: str | None, wanted: str) -> bool:
    """Whether two values mean the same: the order of a list does not count."""
    return found is not None and sorted(found.split(",")) == sorted(wanted.split(","))


def _write_down(kafka: KafkaSettings, cluster: Cluster, partitions: int) -> None:
    if written_down(kafka) is None:
        value = msgspec.json.encode(PartitionCount(partitions))
        cluster.write(kafka.topic(CONFIG), [(PARTITION_COUNT_KEY, value)])
    found = written_down(kafka)
    if found != partitions:  # somebody set it up at the same time
        raise OtherPartitionsError(kafka.topic(topics.EVENTS), found or 0, partitions)
