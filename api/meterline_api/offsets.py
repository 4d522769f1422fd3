"""Where consumer groups are, asked of Kafka."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from meterline_api.standstill import Partition
from meterline_schemas.errors import UnavailableError

_log = logging.getLogger(__name__)


class Offsets:
    """Committed offsets of groups and the ends of topics; every question waits at most ``timeout`` seconds.

    Groups are asked through a consumer of theirs that never joins. ``AdminClient.list_consumer_group_offsets`` would
    be shorter, but ends the process with a segmentation fault where the broker has just come back and its coordinator
    is not ready (librdkafka 2.16: the answer's handler asks a consumer group that an admin client does not have).
    """

    def __init__(self, client: Mapping[str, Any], timeout: float) -> None:
        self._client = dict(client)
        self._admin = AdminClient(dict(client), logger=_log)
        self._consumers: dict[str, Consumer] = {}
        self._timeout = timeout

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of the topics.

        Raises:
            UnavailableError: Kafka does not answer, or there is no such topic.
        """
        try:
            found = self._admin.list_topics(timeout=self._timeout).topics
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not answer: {error.args[0].str()}") from None
        missing = [topic for topic in topics if topic not in found]
        if missing:
            raise UnavailableError(f"Kafka has no topic {missing[0]}; start Meterline once, it creates its topics")
        return [Partition(topic, number) for topic in topics for number in found[topic].partitions]

    def ends(self, partitions: Sequence[Partition], *, undecided: bool = False) -> dict[Partition, int]:
        """The last stable offset of each: what a read_committed reader can reach.

        ``undecided``: behind records of open transactions too, which may come to count.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for topic, number in partitions}
        isolation = IsolationLevel.READ_UNCOMMITTED if undecided else IsolationLevel.READ_COMMITTED
        try:
            answers = self._admin.list_offsets(wanted, isolation_level=isolation, request_timeout=self._timeout)
            return {Partition(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not say where topics end: {error.args[0].str()}") from None

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """What the group has committed; partitions without a commit are left out.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        wanted = [TopicPartition(topic, number) for topic, number in partitions]
        try:
            found = self._consumer(group).committed(wanted, timeout=self._timeout)
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not say where {group} is: {error.args[0].str()}") from None
        return {Partition(at.topic, at.partition): at.offset for at in found if at.error is None and at.offset >= 0}

    def renew(self) -> None:
        """Connect anew with the next question.

        An admin client that met a frozen broker may go on failing with "transport failure" for minutes after it has
        come back (librdkafka 2.16), while a new one is answered at once.
        """
        self._admin = AdminClient(dict(self._client), logger=_log)
        self._consumers = {}  # whoever still asks one keeps it for so long

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        consumer = self._consumers.get(group)
        if consumer is None:
            consumer = Consumer({**self._client, "group.id": group, "enable.auto.commit": False}, logger=_log)
            self._consumers[group] = consumer
        return consumer
