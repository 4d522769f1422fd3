"""The edge to Kafka's administration: the only module of this package that imports its client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import Troubles, made
from meterline_schemas.settings import KafkaSettings


@dataclass(frozen=True)
class TopicState:
    """A topic as it is: ``replication`` is the smallest number of replicas of its partitions."""

    name: str
    partitions: int
    replication: int


class Cluster:
    """One Kafka cluster. Every call raises ``UnavailableError`` where it does not answer within ``timeout`` seconds.

    Raises:
        ConfigurationError: librdkafka does not take METERLINE_KAFKA_CONFIG.
    """

    def __init__(self, settings: KafkaSettings, timeout: float = 30.0) -> None:
        self._settings = settings
        self._timeout = timeout
        self._troubles = Troubles(settings.client())
        # a request ends with its client: keep it
        self._admin = made(AdminClient, {**settings.client(log_level=0), "error_cb": self._troubles})

    def topics(self) -> dict[str, TopicState]:
        """Every topic by its name on the cluster."""
        with self._answers():
            found = self._admin.list_topics(timeout=self._timeout).topics
        return {
            name: TopicState(
                name,
                len(topic.partitions),
                min((len(partition.replicas) for partition in topic.partitions.values()), default=0),
            )
            for name, topic in found.items()
            if topic.error is None
        }

    def brokers(self) -> list[str]:
        """``host:port`` of each broker that is up."""
        with self._answers():
            found = self._admin.list_topics(timeout=self._timeout).brokers
        return sorted(f"{broker.host}:{broker.port}" for broker in found.values())

    def create(self, wanted: Iterable[tuple[TopicState, Mapping[str, str]]]) -> None:
        """Make topics with their settings and wait until they can be used; one that is there stays as it is.

        All in one request: each for itself costs the broker as much as all of them together.
        """
        made = [NewTopic(each.name, each.partitions, each.replication, config=dict(more)) for each, more in wanted]
        if not made:
            return
        with self._answers():
            for created in self._admin.create_topics(made, request_timeout=self._timeout).values():
                try:
                    created.result(self._timeout)
                except KafkaException as error:
                    if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
        names = {each.topic for each in made}
        deadline = time.monotonic() + self._timeout
        while unlisted := names - set(self.topics()):
            if time.monotonic() > deadline:
                one = min(unlisted)
                raise UnavailableError(f"Kafka made topic {one} but does not list it; look at the broker's log")
            time.sleep(0.05)

    def settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """The settings in force of each topic, as the broker names them."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        with self._answers():
            answers = self._admin.describe_configs(resources, request_timeout=self._timeout)
            return {
                resource.name: {name: str(entry.value) for name, entry in answer.result(self._timeout).items()}
                for resource, answer in answers.items()
            }

    def change(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings of a topic and leave the others."""
        resource = ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()
            ],
        )
        with self._answers():
            for done in self._admin.incremental_alter_configs([resource], request_timeout=self._timeout).values():
                done.result(self._timeout)

    def ends(self, topic: str, partitions: int) -> dict[int, int]:
        """The end offset of each partition."""
        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}
        with self._answers():
            found = self._admin.list_offsets(wanted, request_timeout=self._timeout)
            return {partition.partition: answer.result(self._timeout).offset for partition, answer in found.items()}

    def committed(self, group: str, topics: Iterable[str], partitions: int) -> dict[tuple[str, int], int]:
        """The offsets that a consumer group has committed on the first ``partitions`` of ``topics``.

        Asked through a consumer that never joins: ``AdminClient.list_consumer_group_offsets`` ends the process (a
        crash inside librdkafka 2.16) while a broker that just came back has no coordinator for the group yet.
        """
        wanted = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        with self._answers():
            consumer = Consumer(
                {**self._settings.client(), "group.id": group, "enable.auto.commit": False, "log_level": 0}
            )
            try:
                found = consumer.committed(wanted, timeout=self._timeout)
            finally:
                consumer.close()
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def members(self, group: str) -> int:
        """How many members a consumer group has; 0 for a group that does not exist."""
        with self._answers():
            asked = self._admin.describe_consumer_groups([group], request_timeout=self._timeout)
            try:
                return len(asked[group].result(self._timeout).members)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return 0
                raise

    def write(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> datetime | None:
        """Append keyed records to partition 0, acknowledged by all in-sync replicas on return.

        Returns:
            when the broker appended the last one, where it stamps the topic itself.
        """
        failed: list[KafkaError] = []
        stamps: list[tuple[int, int]] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                stamps.append(message.timestamp())
            else:
                failed.append(error)

        with self._answers():
            wanted: dict[str, str | int | float | bool] = {
                "acks": "all",  # a repeated record of a key changes nothing, and idempotence begins slowly
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 0,
                "message.timeout.ms": int(self._timeout * 1000),
                "log_level": 0,
            }
            producer = Producer(self._settings.client(**wanted))
            for key, value in records:
                producer.produce(topic, key=key, value=value, partition=0, on_delivery=delivered)
            producer.flush(self._timeout + 5)
            if failed:
                raise KafkaException(failed[0])
        if not stamps:
            return None
        kind, milliseconds = stamps[-1]
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if kind == _LOG_APPEND_TIME else None

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            problem: Any = error.args[0]
            why = self._troubles.last(self._admin) or problem.str() or problem.name()
            raise UnavailableError(
                f"Kafka at {self._settings.kafka} does not do what is asked ({why}); "
                "is it running, and is METERLINE_KAFKA or --kafka right?"
            ) from None


_LOG_APPEND_TIME = 2
