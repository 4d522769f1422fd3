"""What must hold of the topics before a worker judges anything."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from meterline_schemas import topics
from meterline_schemas.errors import PartitionCountError, UnavailableError
from meterline_schemas.kafka_client import made
from meterline_schemas.settings import KafkaSettings
from meterline_streams.errors import WrongTopicError

_TIMEOUT: Final = 30.0
_NEEDED: Final = tuple(topic.name for topic in topics.TOPICS if topic.partitioned == "like_events")


def check_topics(settings: KafkaSettings, written_down: int | None) -> int:
    """The number of partitions, once every topic has it and ``usage.events`` is stamped by the broker.

    Raises:
        WrongTopicError: a topic is missing, or producers could set its record times.
        PartitionCountError: a topic has another number of partitions than was written down.
        UnavailableError: the broker does not answer.
    """
    admin = made(AdminClient, settings.client(log_level=3))
    try:
        found = admin.list_topics(timeout=_TIMEOUT).topics
        events = settings.topic(topics.EVENTS)
        if written_down is None:
            raise WrongTopicError(f"{settings.topic(topics.CONFIG)} does not say how many partitions there are")
        for name in map(settings.topic, _NEEDED):
            if name not in found:
                raise WrongTopicError(f"topic {name} does not exist")
            if len(found[name].partitions) != written_down:
                raise PartitionCountError(name, written_down, len(found[name].partitions))
        resource = ConfigResource(ResourceType.TOPIC, events)
        config = admin.describe_configs([resource])[resource].result(_TIMEOUT)
    except KafkaException as error:
        raise UnavailableError(f"no answer from Kafka at {settings.kafka}: {error.args[0].str()}") from None
    if config["message.timestamp.type"].value != "LogAppendTime":
        raise WrongTopicError(f"{events} lets producers set record times (message.timestamp.type)")
    return written_down
