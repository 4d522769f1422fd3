"""How far a consumer group is behind. Offsets of topics with transactions count their markers too."""

from __future__ import annotations

from dataclasses import dataclass
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
