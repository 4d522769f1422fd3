"""What was tracked and is not yet acknowledged, bounded and counted."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from meterline.errors import BufferFullError
from meterline.limits import Limits
from meterline.records import Batch, Line, Record
from meterline.reports import Problem

_logger: Final = logging.getLogger("meterline")


@dataclass(frozen=True)
class Stats:
    """Events since this process made the producer.

    ``tracked + recovered == acknowledged + failed + dropped + pending``, always. ``recovered``: found in the spool,
    left by a process that ended. ``acknowledged``: Meterline holds it. ``failed``: given up, Meterline may or may not
    hold it. ``dropped``: never sent, there was no room or the producer was closed. ``pending``: on its way, or in the
    spool.
    """

    tracked: int = 0
    acknowledged: int = 0
    failed: int = 0
    dropped: int = 0
    pending: int = 0
    recovered: int = 0


class Buffer(ABC):
    """Lines that wait for the sender, and the counts of all. Any thread may call any of it."""

    def __init__(self, limits: Limits) -> None:
        # re-entrant: a signal handler may track while the thread that it interrupts does
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        # unlike an Event's, its put may interrupt another one of the same thread
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._limits = limits
        self._tracked = self._recovered = self._acknowledged = self._failed = self._dropped = self._pending = 0
        self._under_way = 0
        self._why = ""
        self._asleep = self._given_up = self._told_closed = False
        self._wait_for_room = 0
        self.closed = False

    def put(self, line: Line) -> bool:
        """Take a line; False where it was dropped, and counted as such.

        Raises:
            BufferFullError: there is no room, and ``when_full`` is ``raise``.
        """
        with self._lock:
            if not self.closed and (self._add(line) or self._add_late(line)):
                self._tracked += 1
                self._pending += 1
                if self._asleep:
                    self._asleep = False
                    self._wakes.put(None)
                return True
            self._tracked += 1
            self._dropped += 1
            self._why = "the producer is closed" if self.closed else self._full()
            if self.closed and not self._told_closed:
                self._told_closed = True
                _logger.warning("usage events that are tracked after close() are dropped")
            if self._limits.when_full == "raise":
                raise BufferFullError(self._why)
            return False

    @abstractmethod
    def _add(self, line: Line) -> bool:
        """Keep a line, or say that there is no room. Called with the lock held."""

    def why_dropped(self) -> str:
        """What to say of events that were dropped last."""
        return self._why

    @abstractmethod
    def _full(self) -> str:
        """Why there is no room."""

    @abstractmethod
    def take(self) -> Batch | None:
        """Lines to be sent now, None if there are none. They stay pending until they are settled."""

    @abstractmethod
    def _settled(self, record: Record) -> None:
        """A record's lines need not be kept any longer. Called with the lock held."""

    @abstractmethod
    def give_up(self) -> int:
        """The producer closes: how many events will not be sent by it."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the events wait, for a message."""

    def care(self) -> list[Problem]:
        """What is to be done once in a while, by the sender's thread; what went wrong in it."""
        return []

    def look_again(self) -> None:  # noqa: B027
        """What others left behind is to be found before anything is called settled."""

    def abandon(self) -> None:  # noqa: B027
        """Let go of what belongs to the parent process: this is its child."""

    def waiting(self) -> int:
        """How many were not taken yet."""
        return self._pending - self._under_way

    def settle(self, record: Record, failed: int = 0) -> None:
        """A record was answered for good: all its events are acknowledged, but for ``failed`` of them."""
        with self._lock:
            if self._given_up:
                return
            self._acknowledged += record.events - failed
            self._failed += failed
            self._pending -= record.events
            self._under_way -= record.events
            self._settled(record)
            if self._pending == 0 or self._wait_for_room:
                self._changed.notify_all()

    def sleep_while_empty(self, timeout: float) -> None:
        """Return at once while anything is pending, else at the next ``put``, ``wake`` or after ``timeout`` seconds."""
        with self._lock:
            if self._pending or self.closed:
                return
            self._asleep = True
        self.pause(timeout)

    def pause(self, timeout: float) -> None:
        """Return at the next ``wake``, or after ``timeout`` seconds."""
        with suppress(queue.Empty):
            self._wakes.get(timeout=timeout)
            while True:
                self._wakes.get_nowait()

    def wake(self) -> None:
        self._wakes.put(None)

    def wait_until_settled(self, timeout: float) -> int:
        """Wait until nothing is pending, at most ``timeout`` seconds; how many events still are."""
        with self._changed:
            self._changed.wait_for(self._is_settled, timeout)
            return self._pending

    def _is_settled(self) -> bool:
        return self._pending <= 0  # one less where Ctrl-C came between an event's writing and its counting

    def stats(self) -> Stats:
        with self._lock:
            return Stats(self._tracked, self._acknowledged, self._failed, self._dropped, self._pending, self._recovered)

    def _add_late(self, line: Line) -> bool:
        """Add a line once there is room, if that is soon. In the thread of an event loop it is never waited for."""
        if not self._limits.wait_seconds or _in_event_loop():
            return False
        deadline = time.monotonic() + self._limits.wait_seconds
        self._wait_for_room += 1
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                self._changed.wait(remaining)
                if self.closed:
                    return False
                if self._add(line):
                    return True
            return False
        finally:
            self._wait_for_room -= 1


class MemoryBuffer(Buffer):
    """Lines in the memory of this process."""

    place = "memory"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._tenants: list[str] = []
        self._texts: list[str] = []
        self._bytes = 0

    def _add(self, line: Line) -> bool:
        tenant_id, text, size = line
        if self._pending >= self._limits.max_events or self._bytes + size > self._limits.max_bytes:
            return False
        self._tenants.append(tenant_id)
        self._texts.append(text)
        self._bytes += size
        return True

    def _full(self) -> str:
        limits = self._limits
        return f"{self._pending:,} events wait in memory, at most {limits.max_events:,} and {limits.max_bytes:,} bytes"

    def take(self) -> Batch | None:
        with self._lock:
            batch = Batch(self._tenants, self._texts, len(self._texts))
            self._tenants, self._texts = [], []
            self._under_way += batch.left
            return batch if batch.left else None

    def _settled(self, record: Record) -> None:
        self._bytes -= record.size

    def give_up(self) -> int:
        """Count all that is pending as failed, whatever becomes of it; how many that was."""
        with self._lock:
            events, self._pending, self._bytes, self._tenants, self._texts = self._pending, 0, 0, [], []
            self._failed += events
            self._given_up = True
            self._changed.notify_all()
            return events


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
