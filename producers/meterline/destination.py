"""Where events go: Kafka, or the HTTP API. From the arguments of a producer, or else from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from meterline.limits import Limits
from meterline.transport import Answered, Connect, Transport
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.topics import EVENTS

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


def destination(
    bootstrap_servers: str | None,
    kafka_config: Mapping[str, Any] | None,
    topic_prefix: str | None,
    url: str | None,
    api_key: str | None,
    limits: Limits,
) -> Connect:
    """How to connect. Kafka, unless only the API is named; what is passed comes before what the environment says.

    Raises:
        ConfigurationError: neither is named, or both are passed; or the settings will never do.
    """
    if bootstrap_servers is not None and not isinstance(bootstrap_servers, str):
        raise TypeError("bootstrap_servers must be a str: several servers are written 'a:9092,b:9092'")
    if url and bootstrap_servers:
        raise ConfigurationError("pass bootstrap_servers or url, not both: events go one way")
    if not url and not bootstrap_servers:
        bootstrap_servers = os.environ.get("METERLINE_KAFKA")
        url = None if bootstrap_servers else os.environ.get("METERLINE_API_URL")
    if url:
        return _http(url, api_key or os.environ.get("METERLINE_API_KEY"))
    if not bootstrap_servers:
        raise ConfigurationError(
            "no Kafka servers and no API: pass UsageProducer(bootstrap_servers='host:9092') or set METERLINE_KAFKA; "
            "over HTTP pass UsageProducer(url='https://host', api_key='...') or set METERLINE_API_URL"
        )
    prefix = os.environ.get("METERLINE_TOPIC_PREFIX", "") if topic_prefix is None else topic_prefix
    return _kafka(bootstrap_servers, kafka_config, prefix + EVENTS, limits)


def _kafka(bootstrap_servers: str, kafka_config: Mapping[str, Any] | None, topic: str, limits: Limits) -> Connect:
    if bootstrap_servers.startswith(("http://", "https://")):
        raise ConfigurationError(f"{bootstrap_servers} is a URL: Kafka servers are host:port, an API is passed as url=")
    if not _TOPIC.fullmatch(topic):
        raise ConfigurationError(f"{topic!r} is no name of a topic: the prefix may have letters, digits and . _ -")
    # imported here and not by the sender: a fork must not find another thread in the midst of an import
    from meterline.connection import check, client_settings
    from meterline.kafka_transport import KafkaTransport

    client = client_settings(bootstrap_servers, kafka_config)
    check(client, **limits.queue())

    def connect(answered: Answered) -> Transport:
        return KafkaTransport(client, topic, limits, answered)

    return connect


def _http(url: str, api_key: str | None) -> Connect:
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"url must begin with https:// or http://, not {url!r}")
    if not api_key:
        raise ConfigurationError(
            "no key for the API: pass UsageProducer(url=..., api_key=...) or set METERLINE_API_KEY"
        )
    if not (api_key.isascii() and api_key.isprintable()):
        raise ConfigurationError(
            "the key of the API has characters that no header takes: is there a newline at its end?"
        )
    from meterline.http_transport import HttpTransport, pool

    pool().clear()

    url = url.rstrip("/").removesuffix("/v1/events")

    def connect(answered: Answered) -> Transport:
        return HttpTransport(url, api_key, answered)

    return connect
