"""Lines to Kafka with an answer: what a server uses that may only say yes once Kafka holds the events."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline.connection import connect, count_partitions
from meterline.records import Line
from meterline_schemas.errors import UnavailableError
from meterline_schemas.partitioning import partition_of

_MAX_EVENTS = 1000  # of a record
_MAX_BYTES = 256 * 1024
_METADATA_TIMEOUT = 2.0
_MARGIN = 5.0  # librdkafka gives up on a record at its timeout; should it ever not, we do, this much later


_Place = tuple[int, int]  # a partition, and the offset behind the record that Kafka acknowledged there


class _Batch:
    """A record in the making: lines of any number of requests, and the future that all of them wait for."""

    def __init__(self, future: asyncio.Future[_Place | None]) -> None:
        self.future = future
        self.lines: list[str] = []
        self.size = 0


class Ingest:
    """Sends lines and says of each whether Kafka acknowledged it. For one event loop, which makes it.

    What comes while Kafka has not answered for what was sent before shares records, for ``linger`` seconds at most:
    alone a request is sent at once, and the more there are the fewer records each makes. ``timeout``: after so many
    seconds without an answer from Kafka an outcome is unknown. ``partitions`` is 0 until Kafka has been reached.

    Raises:
        ConfigurationError: librdkafka does not take ``client``.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, *, timeout: float = 10.0, linger: float = 0.01) -> None:
        self._topic = topic
        self._timeout = timeout
        self._linger = linger
        self._client = {**client, "message.timeout.ms": int(timeout * 1000)}
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, _Batch] = {}
        self._timer: asyncio.Handle | None = None
        self._under_way = 0  # records without an answer
        self._fatal = ""
        self._stopping = False
        self._producer = self._connect()
        self.partitions = 0
        self.trouble = "Kafka has not been reached yet"
        self._thread = threading.Thread(target=self._poll, name="meterline-ingest", daemon=True)
        self._thread.start()

    async def send(self, lines: Sequence[Line], offsets: dict[int, int] | None = None) -> list[bool]:
        """For each line, in order: True, Kafka holds it; False, it may or may not.

        A False line may be sent again as it is: its id counts once. Into ``offsets`` goes, by partition, the offset
        before which all lines are that Kafka holds.

        Raises:
            UnavailableError: nothing was sent.
        """
        if not self.partitions:
            raise UnavailableError(self.trouble)
        futures = [self._add(line) for line in lines]
        if self._timer is None and self._open:
            if self._under_way:
                self._timer = self._loop.call_later(self._linger, self._send_open)
            else:
                self._timer = self._loop.call_soon(self._send_open)
        waiting = set(futures)
        # wait() and not gather(): a request that is cancelled must not cancel what others wait for
        await asyncio.wait(waiting, timeout=self._timeout + _MARGIN)
        if offsets is not None:
            for future in waiting:
                place = future.result() if future.done() else None
                if place is not None:
                    offsets[place[0]] = max(place[1], offsets.get(place[0], 0))
        return [future.done() and future.result() is not None for future in futures]

    async def close(self) -> None:
        """Send what is open and wait for the answers, at most for ``timeout``."""
        self._send_open()
        await asyncio.to_thread(self._producer.flush, self._timeout)
        self._stopping = True
        await asyncio.to_thread(self._thread.join, 5)

    def _connect(self) -> Producer:
        return connect(self._client, on_fatal=self._on_fatal, **{"linger.ms": 0})  # records are whole already

    def _add(self, line: Line) -> asyncio.Future[_Place | None]:
        tenant_id, text, size = line
        partition = partition_of(tenant_id, self.partitions)
        batch = self._open.get(partition)
        if batch is not None and (len(batch.lines) >= _MAX_EVENTS or batch.size + size > _MAX_BYTES):
            self._produce(partition, batch)
            batch = None
        if batch is None:
            batch = self._open[partition] = _Batch(self._loop.create_future())
        batch.lines.append(text)
        batch.size += size
        return batch.future

    def _send_open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._open = self._open, {}
        for partition, batch in batches.items():
            self._produce(partition, batch)

    def _produce(self, partition: int, batch: _Batch) -> None:
        try:
            self._producer.produce(
                self._topic,
                value="\n".join(batch.lines).encode(),
                partition=partition,
                on_delivery=partial(self._on_delivery, batch.future),
            )
        except BufferError:
            self.trouble = "too much waits for Kafka already"
            batch.future.set_result(None)
        except KafkaException as error:
            self.trouble = str(error.args[0])
            batch.future.set_result(None)
        else:
            self._under_way += 1

    def _on_delivery(self, future: asyncio.Future[_Place | None], error: KafkaError | None, message: Message) -> None:
        self.trouble = "" if error is None else f"Kafka did not acknowledge in time: {error.str()}"
        place = None if error is not None else (message.partition(), message.offset() + 1)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, future, place)

    def _on_fatal(self, text: str) -> None:
        self._fatal = text

    def _poll(self) -> None:
        while not self._stopping:
            if not self.partitions:
                self._learn_partitions()
            if self._fatal:
                old, self._fatal = self._producer, ""
                self._producer = self._connect()
                old.purge()  # answered as unknown, through the callbacks
                old.flush(1.0)
            self._producer.poll(0.1)

    def _learn_partitions(self) -> None:
        try:
            self.partitions = count_partitions(self._producer, self._topic, _METADATA_TIMEOUT)
            self.trouble = ""
        except UnavailableError as error:
            self.trouble = str(error)

    def _resolve(self, future: asyncio.Future[_Place | None], place: _Place | None) -> None:
        self._under_way -= 1
        if not future.done():
            future.set_result(place)
        if not self._under_way and self._open:
            self._send_open()
