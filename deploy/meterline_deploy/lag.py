"""How far a consumer group is behind. Offsets of topics with transactions count their markers too."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from meterline_deploy.cluster import Cluster
from meterline_schemas import topics
from meterline_schemas.settings import KafkaSettings

Partition = tuple[str, int]


@dataclass(frozen=True)
class Group:
    """A consumer group of ours, without prefix, and the process that is a member of it."""

    label: str
    name: str
    process: str
    topics: tuple[str, ...]


GROUPS: Final = (
    Group("stream lag", topics.STREAM_GROUP, "meterline_streams", (topics.EVENTS,)),
    Group(
        "sink lag",
        topics.SINK_GROUP,
        "meterline_sinks",
        (topics.ACCEPTED, topics.REJECTED, topics.TOTALS, topics.NOTIFICATIONS),
    ),
    Group("notifier lag", topics.NOTIFIER_GROUP, "meterline_sinks.notifier", (topics.NOTIFICATIONS,)),
)
_WAY_OF_EVENTS: Final = (GROUPS[0], replace(GROUPS[1], topics=(topics.ACCEPTED, topics.TOTALS)))


@dataclass(frozen=True)
class GroupLag:
    """One look at a group: its members, what it has committed and where the topics end."""

    members: int
    committed: dict[Partition, int]
    ends: dict[Partition, int]

    @property
    def behind(self) -> dict[Partition, int]:
        """Records that wait, by partition."""
        return {
            partition: end - self.committed.get(partition, 0)
            for partition, end in self.ends.items()
            if end > self.committed.get(partition, 0)
        }

    @property
    def total(self) -> int:
        return sum(self.behind.values())

    def still(self, later: GroupLag) -> list[Partition]:
        """Partitions that were behind and that ``later`` finds at the same offset."""
        return [
            partition
            for partition in self.behind
            if partition in later.behind and later.committed.get(partition, 0) == self.committed.get(partition, 0)
        ]


def events_passed_on(kafka: KafkaSettings, seconds: float) -> bool:
    """Whether ClickHouse gets, within ``seconds``, all events that Kafka has now.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    cluster = Cluster(kafka)
    partitions = cluster.topics()[kafka.topic(topics.EVENTS)].partitions
    deadline = time.monotonic() + seconds
    for group in _WAY_OF_EVENTS:
        now = look(kafka, cluster, group, partitions)
        while replace(now, committed=look(kafka, cluster, group, partitions).committed).behind:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
    return True


def look(kafka: KafkaSettings, cluster: Cluster, group: Group, partitions: int) -> GroupLag:
    """Look at a group now.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    name = kafka.topic(group.name)
    topics = [kafka.topic(topic) for topic in group.topics]
    committed = cluster.committed(name, topics, partitions)  # before the ends: it never seems to be ahead
    ends: dict[Partition, int] = {}
    for topic in topics:
        for number, end in cluster.ends(topic, partitions).items():
            ends[topic, number] = end
    return GroupLag(cluster.members(name), committed, ends)
