"""What librdkafka answers while a broker is not quite there."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from meterline_schemas.kafka_client import bounds


class Answers:
    """A consumer whose broker says these things in turn; no real one can be made to say them on request."""

    def __init__(self, *answers: int | tuple[int, int]) -> None:
        self.left = list(answers)

    def get_watermark_offsets(self, partition: Any, timeout: float) -> tuple[int, int]:
        answer = self.left.pop(0)
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer


def test_a_partition_that_nobody_leads_at_this_moment_is_asked_for_again() -> None:
    consumer = Answers(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, (3, 9))
    assert bounds(cast(Consumer, consumer), "usage.accepted", 0, 30) == (3, 9)


def test_what_the_broker_refuses_and_what_lasts_longer_than_it_may_is_told() -> None:
    refusing = Answers(KafkaError.TOPIC_AUTHORIZATION_FAILED, (3, 9))
    with pytest.raises(KafkaException):
        bounds(cast(Consumer, refusing), "usage.accepted", 0, 30)
    leaderless = Answers(KafkaError.NOT_LEADER_FOR_PARTITION, (3, 9))
    with pytest.raises(KafkaException):
        bounds(cast(Consumer, leaderless), "usage.accepted", 0, 0)
