"""How a producer reaches Kafka: where from the environment, with which settings, and how many partitions there are."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from meterline_schemas.errors import ConfigurationError, UnavailableError

# librdkafka writes to stderr unless it is given a logger; an app's stderr is not ours
_logger: Final = logging.getLogger("meterline.kafka")

SAFE: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    "message.max.bytes": 4 * 1024 * 1024,
    "allow.auto.create.topics": False,
}


def client_settings(bootstrap: str | None, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """librdkafka properties, from the arguments or else from ``METERLINE_KAFKA`` and ``METERLINE_KAFKA_CONFIG``.

    Raises:
        ConfigurationError: no servers are named, or ``METERLINE_KAFKA_CONFIG`` is no JSON object.
    """
    bootstrap = bootstrap or os.environ.get("METERLINE_KAFKA")
    if not bootstrap:
        raise ConfigurationError(
            "no Kafka servers: pass UsageProducer(bootstrap_servers='host:9092') or set METERLINE_KAFKA"
        )
    if extra is None:
        text = os.environ.get("METERLINE_KAFKA_CONFIG") or "{}"
        try:
            extra = json.loads(text)
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise ConfigurationError(
                "METERLINE_KAFKA_CONFIG must be a JSON object of librdkafka properties, "
                'like {"security.protocol": "SSL"}'
            )
    return {**extra, "bootstrap.servers": bootstrap}


def connect(
    client: Mapping[str, Any], *, on_fatal: Callable[[str], None], **more: str | int | float | bool
) -> Producer:
    """An idempotent producer. Does not wait for a broker.

    Raises:
        ConfigurationError: librdkafka does not know or does not take a property.
    """

    def error(problem: KafkaError) -> None:
        if problem.fatal():
            on_fatal(problem.str())

    try:
        return Producer({**SAFE, **more, **client, "error_cb": error}, logger=_logger)
    except (KafkaException, TypeError, ValueError) as problem:
        raise ConfigurationError(f"Kafka client settings are wrong: {_text(problem)}") from None


def check(client: Mapping[str, Any], **more: str | int | float | bool) -> None:
    """Whether librdkafka takes these settings, without reaching for a broker.

    Raises:
        ConfigurationError: it does not.
    """
    connect({**client, "bootstrap.servers": ""}, on_fatal=lambda _text: None, **more)


def count_partitions(producer: Producer, topic: str, timeout: float) -> int:
    """The number of partitions of a topic, asked of the cluster; waits up to ``timeout`` seconds.

    Raises:
        UnavailableError: nobody answers, or there is no such topic.
    """
    try:
        found = producer.list_topics(topic, timeout=timeout).topics.get(topic)
    except KafkaException as problem:
        raise UnavailableError(f"Kafka does not answer: {_text(problem)}") from None
    if found is None or found.error is not None or not found.partitions:
        raise UnavailableError(f"Kafka has no topic {topic}; start Meterline once, it creates its topics")
    return len(found.partitions)


def _text(problem: Exception) -> str:
    cause = problem.args[0] if problem.args else problem
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
