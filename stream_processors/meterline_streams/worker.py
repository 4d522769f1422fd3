"""The worker: records in from Faust, partitions opened, checkpoints on time, acknowledgements out.

The walk of a record: Faust hands it over; the slot of its partition, opened at the first record or by the clock,
whichever comes first, says whether it is due; due records wait; a checkpoint takes them all in one transaction, in a
thread, one per partition at a time; then they are acknowledged. A record before the watermark is acknowledged and
skipped; one ahead of it sends the consumer back to the watermark, unless the log itself has the gap.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

from meterline_schemas import topics
from meterline_schemas.errors import MeterlineError
from meterline_schemas.health import Health
from meterline_streams import metrics
from meterline_streams.catalog import Catalog
from meterline_streams.errors import WrongTopicError
from meterline_streams.failpoints import reach
from meterline_streams.forward import Forwarder
from meterline_streams.judge import SourceRecord
from meterline_streams.partition import Partition
from meterline_streams.settings import StreamSettings
from meterline_streams.slot import Arrival, Slot

log = logging.getLogger("meterline.streams")

FAILED: Final = 70
_LOG_APPEND_TIME: Final = 1
_SEEK_AGAIN_SECONDS: Final = 2.0

Seek = Callable[[int, int], Awaitable[None]]
Lag = Callable[[int], int | None]


def die(error: BaseException) -> None:
    """End the process now: memory is ahead of the log, and only a restart brings it back."""
    if isinstance(error, MeterlineError):
        log.critical("stopping: %s", error)
    else:
        log.critical("stopping: %s: %s", type(error).__name__, error, exc_info=error)
    logging.shutdown()
    os._exit(FAILED)


class Worker:
    """Owns the slots. Runs on Faust's event loop; partitions work in threads."""

    def __init__(self, settings: StreamSettings, partitions: int, catalog: Catalog, seek: Seek) -> None:
        self._settings = settings
        self._partitions = partitions
        self._catalog = catalog
        self._seek = seek
        self._forwarder = Forwarder(settings)
        self._slots: dict[int, Slot] = {}
        self._opening: dict[int, asyncio.Task[Slot | None]] = {}
        self._assigned: frozenset[int] = frozenset()
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="partition")
        self._turn = Lock()
        self._room = asyncio.Event()
        self._waiting_bytes = 0
        self._started = False
        self._looking: asyncio.Task[Any] | None = None
        self._looked = time.monotonic()

    # records

    async def receive(self, event: Any) -> None:
        """Take one record from Faust."""
        message = event.message
        slot = self._slots.get(message.partition)
        if slot is None:
            slot = await self._open(message.partition)
            if slot is None:
                return  # revoked while it was opened; the next owner reads the record again
        arrival = slot.arrival(message.offset)
        if arrival is Arrival.AHEAD and not await self._gap_is_real(slot, message.offset):
            return
        if arrival is Arrival.JUDGED:
            event.ack()
            return
        record = source_record(message)
        slot.take(record, event)
        self._waiting_bytes += len(record.value)
        if slot.bytes >= self._settings.checkpoint_bytes:
            self._start_checkpoint(slot)
        while self._waiting_bytes >= self._settings.pending_bytes:
            self._room.clear()
            await self._room.wait()

    async def _gap_is_real(self, slot: Slot, offset: int) -> bool:
        """Whether the log has nothing between the offset that is due and ``offset``. If it has, go back to it."""
        now = time.monotonic()
        if now - slot.last_seek < _SEEK_AGAIN_SECONDS:
            return False
        if slot.records or slot.running:
            await self._checkpoint_now(slot)
            if slot.revoked:
                return False
        first = await self._in_thread(slot.partition.next_record_offset)
        if first is None or first >= offset:
            slot.due = offset
            return True
        log.warning(
            "partition %d: offsets %d to %d were not delivered, going back", slot.partition.number, slot.due, offset - 1
        )
        metrics.GAPS.inc()
        await self._go_back(slot)
        return False

    async def _go_back(self, slot: Slot) -> None:
        """Ask for the record that is due, until it comes: Faust drops it if another was on its way meanwhile."""
        slot.awaited = True
        slot.last_seek = time.monotonic()
        await self._seek(slot.partition.number, slot.due)

    # partitions

    def assign(self, partitions: Iterable[int]) -> None:
        """What the group gave to this worker."""
        self._assigned = frozenset(partitions)
        self._started = True
        log.info("assigned partitions %s", sorted(self._assigned))

    async def revoke(self, partitions: Iterable[int]) -> None:
        """Drop what the group took: memory, pending records unacknowledged, and the transaction if one is open."""
        revoked = set(partitions)
        self._assigned -= revoked
        for number in revoked & self._opening.keys():
            await asyncio.wait([self._opening[number]])
        slots = [self._slots.pop(number) for number in revoked & self._slots.keys()]
        for slot in slots:
            slot.revoked = True
            self._release(slot.drain()[2])
        running = [slot.running for slot in slots if slot.running is not None]
        if self._looking is not None:
            running.append(self._looking)
        if running:
            await asyncio.wait(running)
        for slot in slots:
            await self._in_thread(slot.partition.close)
        if slots:
            log.info("revoked partitions %s", sorted(slot.partition.number for slot in slots))

    async def _open(self, number: int) -> Slot | None:
        task = self._opening.get(number)
        if task is None:
            task = self._opening[number] = asyncio.create_task(self._open_once(number))
            task.add_done_callback(lambda _task: self._opening.pop(number, None))
        return await asyncio.shield(task)

    async def _open_once(self, number: int) -> Slot | None:
        started = time.monotonic()
        partition = Partition(self._settings, number, self._partitions, self._catalog, self._forwarder, self._turn)
        await self._in_thread(partition.open)
        if number not in self._assigned:
            await self._in_thread(partition.close)
            return None
        slot = Slot(partition, due=partition.next_offset, last_checkpoint=time.monotonic())
        self._slots[number] = slot
        log.info("partition %d open at offset %d after %.2f s", number, slot.due, slot.last_checkpoint - started)
        return slot

    # checkpoints

    async def tick(self) -> None:
        """Called a few times a second: open what was assigned, checkpoint what waits, look for changes."""
        for number in self._assigned - self._slots.keys() - self._opening.keys():
            task = asyncio.create_task(self._open(number))
            task.add_done_callback(_end_on_error)
        now = time.monotonic()
        for slot in list(self._slots.values()):
            if slot.awaited and now - slot.last_seek >= _SEEK_AGAIN_SECONDS:
                await self._go_back(slot)
            if now - slot.last_checkpoint >= self._settings.checkpoint_seconds:
                self._start_checkpoint(slot, empty=slot.partition.is_due(datetime.now(UTC)))
        if self._looking is None and now - self._looked >= self._settings.catalog_seconds:
            self._looking = asyncio.create_task(self._look_around())

    async def _look_around(self) -> None:
        await self._in_thread(self._catalog.refresh)
        for slot in list(self._slots.values()):
            if not slot.revoked:
                await self._in_thread(slot.partition.look_for_bases)
        self._looked = time.monotonic()
        self._looking = None

    def _start_checkpoint(self, slot: Slot, *, empty: bool = False) -> None:
        if slot.running is None and (slot.records or empty) and not slot.revoked:
            slot.running = asyncio.create_task(self._checkpoint(slot))

    async def _checkpoint_now(self, slot: Slot) -> None:
        """Return when nothing of the slot is pending."""
        while (slot.records or slot.running) and not slot.revoked:
            self._start_checkpoint(slot)
            if slot.running is not None:
                await asyncio.wait([slot.running])

    async def _checkpoint(self, slot: Slot) -> None:
        started = time.monotonic()
        records, events, size = slot.drain()
        await self._in_thread(slot.partition.checkpoint, records, datetime.now(UTC))
        slot.last_checkpoint = time.monotonic()
        slot.running = None
        self._release(size)
        metrics.CHECKPOINTS.observe(slot.last_checkpoint - started)
        metrics.RECORDS.inc(len(records))
        metrics.WATERMARK.labels(slot.partition.number).set(slot.partition.next_offset)
        if slot.revoked:
            return
        reach("before_ack")
        for event in events:
            event.ack()
        reach("after_ack")
        if slot.bytes >= self._settings.checkpoint_bytes:
            self._start_checkpoint(slot)

    def _release(self, size: int) -> None:
        self._waiting_bytes -= size
        if self._waiting_bytes < self._settings.pending_bytes:
            self._room.set()

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run blocking work in a thread. Whatever goes wrong there ends the process."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except Exception as error:
            die(error)

    def next_offset(self, partition: int) -> int:
        slot = self._slots.get(partition)
        return 0 if slot is None else slot.partition.next_offset

    def health(self, lag: Lag) -> Health:
        """Ready once assigned; progressing unless a partition has lag and no checkpoint for ``stall_seconds``."""
        now = time.monotonic()
        partitions = {}
        stalled = []
        for number, slot in sorted(self._slots.items()):
            behind = lag(number)
            age = now - slot.last_checkpoint
            partitions[str(number)] = {"next_offset": slot.partition.next_offset, "lag": behind}
            if (behind or slot.records) and age > self._settings.stall_seconds:
                stalled.append(number)
        detail = {"partitions": partitions, "assigned": sorted(self._assigned), "stalled": stalled}
        ready = self._started and self._assigned <= self._slots.keys()
        return Health(ready=ready, progressing=not stalled, detail=detail)


def source_record(message: Any) -> SourceRecord:
    """A Faust message as the judge reads it.

    Raises:
        WrongTopicError: the broker does not stamp the topic's records itself.
    """
    if message.timestamp_type != _LOG_APPEND_TIME:
        raise WrongTopicError(f"{message.topic} is not stamped by the broker (message.timestamp.type=LogAppendTime)")
    appended = first_appended = round(message.timestamp * 1000)
    hopped = False
    if message.headers:
        headers = dict(message.headers)
        if headers.get(topics.HOP_HEADER) == b"1":
            hopped = True
            received = headers.get(topics.RECEIVED_HEADER) or b""  # a header may be null
            if received.isdigit() and len(received) < 15:
                first_appended = min(int(received), appended)
    return SourceRecord(message.offset, message.value or b"", appended, first_appended, hopped)


def _end_on_error(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        die(task.exception() or RuntimeError())
