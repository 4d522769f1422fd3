"""Records to Kafka by an idempotent producer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline.connection import connect, count_partitions, trouble_of
from meterline.limits import Limits
from meterline.records import Record, halves
from meterline.transport import Answer, Answered
from meterline_schemas.errors import UnavailableError

# Kafka will say the same next time. Everything else is sent again: an id counts once however often it arrives.
_PERMANENT: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_METADATA_TIMEOUT: Final = 2.0


class KafkaTransport:
    """Owns the Kafka client: nothing else touches it."""

    def __init__(self, client: Mapping[str, Any], topic: str, limits: Limits, answered: Answered) -> None:
        self._client = client
        self._topic = topic
        self._limits = limits
        self._answered = answered
        self._fatal = ""
        self._one_by_one = False
        self.max_events = limits.batch_events
        self.max_bytes = limits.batch_bytes
        self.partitions = 0
        self.producer = self._connect()

    def reach(self) -> None:
        if self._fatal:
            self._reconnect()
        if not self.partitions:
            self.partitions = count_partitions(self.producer, self._topic, _METADATA_TIMEOUT)

    def trouble(self) -> str:
        return trouble_of(self.producer)

    def send(self, record: Record) -> bool:
        try:
            self.producer.produce(
                self._topic,
                value=record.value,
                partition=record.partition % self.partitions,  # fewer than there were: it is forwarded, and counts
                on_delivery=partial(self._on_delivery, record),
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._answer(record, error.args[0])
        return True

    def poll(self, seconds: float) -> None:
        self.producer.poll(seconds)

    def close(self) -> None:
        self.producer.poll(0)

    def _connect(self) -> Producer:
        return connect(
            self._client,
            on_fatal=self._on_fatal,
            # no time limit: what Kafka does not take waits in the buffer, whose bound is the limit
            **{"message.timeout.ms": 0, **self._limits.queue(), **({"batch.size": 1} if self._one_by_one else {})},
        )

    def _reconnect(self) -> None:
        """A new client in place of one that gave up; what the old one held is answered and sent again."""
        problem, self._fatal = self._fatal, ""
        self.producer.purge()
        self.producer.flush(1.0)
        self.producer = self._connect()
        raise UnavailableError(f"connecting to Kafka anew: {problem}")

    def _on_fatal(self, text: str) -> None:
        self._fatal = text

    def _on_delivery(self, record: Record, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._answered(record, Answer())
        else:
            self._answer(record, error)

    def _answer(self, record: Record, error: KafkaError) -> None:
        if error.code() == KafkaError._UNKNOWN_PARTITION:
            self.partitions = 0  # the topic is not what it was: ask again
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not self._one_by_one:
            # of a batch that librdkafka made of several records: this one may fit
            self._one_by_one = True
            self._fatal = f"{error.str()}: records are sent one by one from now on"
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and self._fatal:
            self._answered(record, Answer(again=True))
        elif error.code() in _PERMANENT and record.events > 1:
            for half in halves(record):
                self._answered(half, Answer(again=True))
        elif error.code() in _PERMANENT:
            self._answered(record, Answer(failed=record.events, detail=f"Kafka refused them: {error.str()}"))
        else:
            self._answered(record, Answer(again=True, detail=f"sending usage events again: {error.str()}"))
