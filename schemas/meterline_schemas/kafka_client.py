"""A client of librdkafka that says clearly why it cannot be made, or cannot connect, and tells no secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.kafka_words import refusal, without_secrets

Client = TypeVar("Client")

# for a moment, of a topic that was just made and of any while its broker starts
_NO_LEADER_YET: Final = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}


class Troubles:
    """librdkafka's ``error_cb``: keeps what connections last failed of. It is called by ``poll`` and its like.

    ``hint`` is said with it.
    """

    def __init__(self, properties: Mapping[str, object], on_fatal: Callable[[str], None] | None = None) -> None:
        self._properties = properties
        self._on_fatal = on_fatal
        self._last = ""
        self.hint = ""

    def __call__(self, error: KafkaError) -> None:
        text = without_secrets(error.str(), self._properties)
        if error.fatal() and self._on_fatal is not None:
            self._on_fatal(text)
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last = refusal(error.name(), text)

    def last(self, client: Any) -> str:
        """A sentence, or ``""``; for the thread that polls the client."""
        client.poll(0)
        return self._last and self._last + self.hint

    def forget(self, client: Any) -> None:
        """Once the broker has answered."""
        client.poll(0)
        self._last = ""


def come(consumer: Consumer, limit: int, seconds: float) -> list[Message]:
    """What came, ``limit`` at most; waits ``seconds`` only for the first.

    ``Consumer.consume`` waits until it has as many as it is asked for, or for all of its time.
    """
    first = consumer.poll(seconds)
    return [] if first is None else [first, *consumer.consume(limit - 1, 0)]


def bounds(consumer: Consumer, topic: str, partition: int, timeout: float) -> tuple[int, int]:
    """The first offset that the log of a partition still has, and its end as the consumer's isolation level sees it.

    ``Consumer.get_watermark_offsets`` fails at once where nobody leads the partition at this moment; this asks again.

    Raises:
        KafkaException: the broker does not answer within ``timeout`` seconds, or refuses.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
            return int(low), int(high)
        except KafkaException as failure:
            if failure.args[0].code() not in _NO_LEADER_YET or time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def fence(producer: Producer, topic: str, timeout: float) -> None:
    """``init_transactions``: whoever wrote under this transactional id before is shut out.

    A client without a connection looks for one each half second only: it is made first, by asking for a topic.

    Raises:
        KafkaException: the broker does not answer within ``timeout`` seconds, or refuses.
    """
    producer.list_topics(topic, timeout=timeout)
    producer.init_transactions(timeout)


def made(kind: Callable[..., Client], properties: Mapping[str, Any], **more: Any) -> Client:
    """A client of that kind.

    Raises:
        ConfigurationError: librdkafka does not know or does not take a property.
    """
    try:
        return kind(dict(properties), **more)
    except (KafkaException, TypeError, ValueError) as problem:
        cause = problem.args[0] if problem.args else problem
        text = without_secrets(cause.str() if isinstance(cause, KafkaError) else str(cause), properties)
        raise ConfigurationError(f"Kafka client settings are wrong (METERLINE_KAFKA_CONFIG): {text}") from None
