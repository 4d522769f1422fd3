"""How a producer reaches Kafka: where from the environment, with which settings, and how many partitions there are."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

# the binding would import it in the sender, and a fork must not find that thread in the midst of an import
import confluent_kafka.admin  # noqa: F401
from confluent_kafka import KafkaException, Producer

from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.kafka_client import Troubles, made
from meterline_schemas.kafka_words import without_secrets

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


def client_settings(bootstrap: str, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """librdkafka properties: further ones from the argument or else from ``METERLINE_KAFKA_CONFIG``.

    Raises:
        ConfigurationError: ``METERLINE_KAFKA_CONFIG`` is no JSON object.
    """
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


class _Connection(Producer):  # type: ignore[misc]
    troubles: Troubles


def connect(
    client: Mapping[str, Any], *, on_fatal: Callable[[str], None], **more: str | int | float | bool
) -> Producer:
    """An idempotent producer. Does not wait for a broker, only for an ``oauth_cb`` to give its first token.

    Raises:
        ConfigurationError: librdkafka does not know or does not take a property.
    """
    troubles = Troubles(client, on_fatal)
    settings = {**SAFE, **more, **client, "error_cb": troubles}
    if callable(client.get("oauth_cb")):
        settings["oauth_cb"] = partial(_token, client["oauth_cb"], troubles)
    connection = made(_Connection, settings, logger=_Log(client))
    connection.troubles = troubles
    return connection


def check(client: Mapping[str, Any], **more: str | int | float | bool) -> None:
    """Whether librdkafka takes these settings, without reaching for a broker.

    Raises:
        ConfigurationError: it does not.
    """
    values = {name: value for name, value in client.items() if not callable(value)}  # oauth_cb: asks for a token
    connect({**values, "bootstrap.servers": ""}, on_fatal=lambda _text: None, **more)


def count_partitions(producer: Producer, topic: str, timeout: float) -> int:
    """The number of partitions of a topic, asked of the cluster; waits up to ``timeout`` seconds.

    Raises:
        UnavailableError: nobody answers, Kafka does not let the client in, or there is no such topic.
    """
    try:
        found = producer.list_topics(topic, timeout=timeout).topics.get(topic)
    except KafkaException as problem:
        raise UnavailableError(trouble_of(producer) or f"Kafka does not answer: {problem.args[0].str()}") from None
    if isinstance(producer, _Connection):
        producer.troubles.forget(producer)
    if found is None or found.error is not None or not found.partitions:
        raise UnavailableError(
            f"Kafka has no topic {topic}: start Meterline once, it makes its topics, or correct METERLINE_TOPIC_PREFIX"
        )
    return len(found.partitions)


def trouble_of(producer: Producer) -> str:
    """What a producer of ``connect`` last failed of, or ``""``; for the thread that polls it."""
    return producer.troubles.last(producer) if isinstance(producer, _Connection) else ""


def _token(oauth_cb: Callable[[str], Any], troubles: Troubles, config: str) -> Any:
    """What the app's ``oauth_cb`` gives. Where it raises, a token that nobody takes, to be asked again in a second.

    librdkafka would raise it to whoever polls, and would not make a client at all without a first token.
    """
    try:
        token = oauth_cb(config)
    except Exception as error:
        troubles.hint = f" (oauth_cb raised {type(error).__name__})"  # its text may hold a secret
        return "none", time.time() + 1
    troubles.hint = ""
    return token


class _Log:
    """Where librdkafka writes its lines: to the logger ``meterline.kafka``, without secrets."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = client

    def log(self, level: int, text: str, *values: object) -> None:
        said = text % values
        if said.startswith(("FAIL ", "ERROR ")):
            level = logging.DEBUG  # a dozen a second while a broker is away; ``error_cb`` is told, too
        if _logger.isEnabledFor(level):
            _logger.log(level, "%s", without_secrets(said, self._client))
