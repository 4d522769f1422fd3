"""What ends a consumer for good, as librdkafka tells it."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, Message


def fatal_error(messages: Iterable[Message]) -> KafkaError | None:
    """That the group has shut this process out: told once, and it may be in the call that takes its partitions."""
    errors = (message.error() for message in messages)
    return next((error for error in errors if error is not None and error.code() == KafkaError._FATAL), None)
