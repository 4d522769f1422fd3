"""What was tracked and is not yet acknowledged, bounded and counted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from meterline.records import Line


@dataclass(frozen=True)
class Stats:
    """Events since this process made the producer: ``tracked == acknowledged + failed + dropped + pending``, always.

    ``acknowledged``: Kafka holds it. ``failed``: given up, Kafka may or may not hold it. ``dropped``: never sent,
    the buffer was full or the producer closed. ``pending``: on its way.
    """

    tracked: int = 0
    acknowledged: int = 0
    failed: int = 0
    dropped: int = 0
    pending: int = 0


class Buffer:
    """Lines that wait for the sender, and the counts of all. Any thread may call any of it."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        # re-entrant: a signal handler may track while the thread that it interrupts does
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._lines: list[Line] = []
        self._bytes = 0
        self._tracked = self._acknowledged = self._failed = self._dropped = self._pending = 0
        self._asleep = self._given_up = False
        self.closed = False

    def put(self, line: Line) -> None:
        """Take a line, or count it as dropped where there is no room. Never waits for more than another ``put``."""
        with self._lock:
            self._tracked += 1
            if self.closed or self._pending >= self._max_events or self._bytes + line[2] > self._max_bytes:
                self._dropped += 1
                return
            self._lines.append(line)
            self._pending += 1
            self._bytes += line[2]
            if self._asleep:
                self._asleep = False
                self._wake.set()

    def take(self) -> list[Line]:
        """All lines that wait. They stay pending until ``settle``."""
        with self._lock:
            lines, self._lines = self._lines, []
            return lines

    def waiting(self) -> int:
        return len(self._lines)

    def settle(self, events: int, size: int, *, acknowledged: bool) -> None:
        """The outcome of lines that were taken."""
        with self._settled:
            if self._given_up:
                return
            if acknowledged:
                self._acknowledged += events
            else:
                self._failed += events
            self._pending -= events
            self._bytes -= size
            if self._pending == 0:
                self._settled.notify_all()

    def give_up(self) -> int:
        """Count all that is pending as failed, whatever becomes of it; how many that was."""
        with self._settled:
            events, self._pending, self._bytes, self._lines = self._pending, 0, 0, []
            self._failed += events
            self._given_up = True
            self._settled.notify_all()
            return events

    def sleep_while_empty(self, timeout: float) -> None:
        """Return at once while anything is pending, else at the next ``put``, ``wake`` or after ``timeout`` seconds."""
        with self._lock:
            if self._pending or self.closed:
                return
            self._wake.clear()
            self._asleep = True
        self._wake.wait(timeout)

    def wake(self) -> None:
        self._wake.set()

    def wait_until_settled(self, timeout: float) -> int:
        """Wait until nothing is pending, at most ``timeout`` seconds; how many events still are."""
        deadline = time.monotonic() + timeout
        with self._settled:
            while self._pending:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._settled.wait(remaining)
            return self._pending

    def stats(self) -> Stats:
        with self._lock:
            return Stats(self._tracked, self._acknowledged, self._failed, self._dropped, self._pending)
