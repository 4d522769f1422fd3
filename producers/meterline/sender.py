"""The background thread of a producer: takes lines from the buffer, sends them, counts what Kafka answers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline.buffer import Buffer
from meterline.connection import connect, count_partitions
from meterline.limits import Limits
from meterline.records import Record, into_records
from meterline.reports import Problem, Reporter
from meterline_schemas.errors import MeterlineError, UnavailableError

# Kafka will say the same next time. Everything else is sent again: an id counts once however often it arrives.
_PERMANENT: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_PARTITION,
    }
)
_IDLE = 1.0  # seconds between looks at an empty buffer
_METADATA_TIMEOUT = 2.0


class Sender(threading.Thread):
    """Sends until ``stop``. Owns the Kafka client: nothing else touches it."""

    def __init__(
        self, buffer: Buffer, client: Mapping[str, Any], topic: str, limits: Limits, reports: Reporter
    ) -> None:
        super().__init__(name="meterline-sender", daemon=True)
        self._buffer = buffer
        self._client = client
        self._topic = topic
        self._limits = limits
        self._reports = reports
        self._again: deque[Record] = deque()
        self._stopping = False
        self._hurry = False
        self._fatal = ""
        self._partitions = 0
        self._dropped = 0
        self.producer: Producer | None = None

    def hurry(self) -> None:
        """Send what waits without waiting for more."""
        self._hurry = True
        self._buffer.wake()

    def stop(self) -> None:
        """End soon, sent or not."""
        self._stopping = True
        self._buffer.wake()

    def run(self) -> None:
        try:
            self._send_for_ever()
        except MeterlineError as error:  # settings that were right when the producer was made
            self._reports.add(Problem("failed", self._buffer.give_up(), str(error)))
        self._report_drops()
        self._reports.tell(everything=True)

    def _send_for_ever(self) -> None:
        producer = self._connect()
        due = 0.0
        while not self._stopping:
            self._buffer.sleep_while_empty(_IDLE)
            if not self._partitions:
                self._learn_partitions(producer)
            if self._fatal:
                producer = self._reconnect(producer)
            now = time.monotonic()
            waiting = self._buffer.waiting()
            if self._partitions and (
                now >= due or self._hurry or waiting >= self._limits.batch_events * self._partitions
            ):
                self._send(producer)
                due = now + self._limits.batch_seconds
            producer.poll(max(0.0, min(due - time.monotonic(), self._limits.batch_seconds)))
            self._report_drops()
            self._reports.tell()
        producer.poll(0)

    def _connect(self) -> Producer:
        limits = self._limits
        self.producer = connect(
            self._client,
            on_fatal=self._on_fatal,
            # no time limit: what Kafka does not take waits in the buffer, whose bound is the limit
            **{"message.timeout.ms": 0, **limits.queue()},
        )
        return self.producer

    def _learn_partitions(self, producer: Producer) -> None:
        try:
            self._partitions = count_partitions(producer, self._topic, _METADATA_TIMEOUT)
        except UnavailableError as error:
            detail = f"{error}; {self._buffer.stats().pending} usage events wait in memory"
            self._reports.add(Problem("broker", 0, detail))

    def _send(self, producer: Producer) -> None:
        self._hurry = False
        again, self._again = self._again, deque()
        lines = self._buffer.take()
        new = into_records(lines, self._partitions, self._limits.batch_events, self._limits.batch_bytes)
        records = deque((*again, *new))
        while records:
            record = records[0]
            try:
                producer.produce(
                    self._topic,
                    value=record.value,
                    partition=record.partition,
                    on_delivery=partial(self._on_delivery, record),
                )
            except BufferError:  # librdkafka is full: keep the rest for the next turn
                self._again.extend(records)
                return
            except KafkaException as error:
                self._answer(record, error.args[0])
            records.popleft()

    def _on_delivery(self, record: Record, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._buffer.settle(record.events, record.size, acknowledged=True)
        else:
            self._answer(record, error)

    def _answer(self, record: Record, error: KafkaError) -> None:
        if error.code() in _PERMANENT:
            self._buffer.settle(record.events, record.size, acknowledged=False)
            self._reports.add(Problem("failed", record.events, f"Kafka refused them: {error.str()}"))
        else:
            self._again.append(record)
            self._reports.add(Problem("broker", 0, f"sending usage events again: {error.str()}"))

    def _on_fatal(self, text: str) -> None:
        self._fatal = text

    def _reconnect(self, producer: Producer) -> Producer:
        """A new client in place of one that gave up; what the old one held comes back as failed and is sent again."""
        self._reports.add(Problem("broker", 0, f"connecting to Kafka anew: {self._fatal}"))
        producer.purge()
        producer.flush(1.0)
        self._fatal = ""
        return self._connect()

    def _report_drops(self) -> None:
        dropped = self._buffer.stats().dropped
        if dropped > self._dropped:
            self._reports.add(Problem("dropped", dropped - self._dropped, "the buffer was full or the producer closed"))
            self._dropped = dropped
