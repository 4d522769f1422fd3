"""That the group shuts a process out is told once, and it may be in the call that takes the partitions away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from meterline_deploy.ports import HOST
from meterline_schemas.errors import IntegrityError
from meterline_schemas.settings import KafkaSettings
from meterline_sinks.batch import Batch
from meterline_sinks.kafka import Source
from meterline_sinks.notifier.kafka import Source as NotifierSource
from meterline_sinks.settings import SinkSettings
from tests.support.ports import free_port


class Fenced:
    """What librdkafka hands over when another process has taken the place in the group."""

    def __init__(self, revoke: Callable[..., None]) -> None:
        self._revoke = revoke

    def consume(self, _limit: int, _timeout: float) -> list[Any]:
        self._revoke(self, [])
        return [self]

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._FATAL, "Static consumer fenced")


def test_a_sink_that_is_shut_out_as_it_loses_its_partitions_ends() -> None:
    source = Source(KafkaSettings(kafka=f"{HOST}:{free_port()}"), SinkSettings())
    source._consumer = Fenced(source._revoke)
    with pytest.raises(IntegrityError, match="METERLINE_SINK_WORKER_ID"):
        source.read_into(Batch(), 1, 0)


def test_a_notifier_that_is_shut_out_as_it_loses_its_partitions_ends() -> None:
    source = NotifierSource(KafkaSettings(kafka=f"{HOST}:{free_port()}"), "one")
    source._consumer = Fenced(source._revoke)
    with pytest.raises(IntegrityError, match="METERLINE_NOTIFY_WORKER_ID"):
        source.read(1, 0)
