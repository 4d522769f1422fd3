"""The background thread of a producer: takes lines from the buffer, sends them, counts what is answered."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Final

from meterline.buffer import Buffer
from meterline.limits import Limits
from meterline.records import Record, into_records
from meterline.reports import Problem, Reporter
from meterline.transport import Answer, Connect, Transport
from meterline_schemas.errors import MeterlineError, UnavailableError

_logger: Final = logging.getLogger("meterline")
_SILENCE: Final = 5.0  # seconds without an answer that are told
_LONGEST_POLL: Final = 0.05  # a poll does not hear who is in a hurry
_IDLE: Final = 1.0  # seconds between looks at an empty buffer
_YOUNG: Final = 1.0  # seconds within which a connection is made, where there is somebody to connect to


class Sender(threading.Thread):
    """Sends until ``stop``. Owns the transport: nothing else touches it."""

    def __init__(self, buffer: Buffer, connect: Connect, limits: Limits, reports: Reporter) -> None:
        super().__init__(name="meterline-sender", daemon=True)
        self._buffer = buffer
        self._connect = connect
        self._limits = limits
        self._reports = reports
        self._queue: deque[Record] = deque()  # to be sent, or sent again
        self._stopping = False
        self._hurry = False
        self._due = 0.0
        self._heard = time.monotonic()
        self._young_until = time.monotonic() + _YOUNG
        self._steady = threading.Event()
        self._dropped = 0
        self.transport: Transport | None = None

    def hurry(self) -> None:
        """Send what waits without waiting for more."""
        self._hurry = True
        self._buffer.wake()

    def stop(self) -> None:
        """End soon, sent or not."""
        self._stopping = True
        self._buffer.wake()

    def wait_until_it_is_steady(self) -> None:
        """Wait for the first answer, but not for a sender that is a second old.

        To be called before a fork. A connection looks up names, and a child that is forked in the midst of that has
        glibc's lock of it held for ever (``getaddrinfo`` with ``AI_ADDRCONFIG``): it could never connect.
        """
        if not self._steady.is_set() and (left := self._young_until - time.monotonic()) > 0:
            self.hurry()
            self._steady.wait(left)

    def run(self) -> None:
        try:
            self.transport = self._connect(self._answered)
            while not self._stopping:
                self._survive(self.transport)
            self.transport.close()
        except MeterlineError as error:  # settings that were right when the producer was made
            self._buffer.closed = True
            self._reports.add(Problem("failed", self._buffer.give_up(), str(error)))
        self._steady.set()
        self._report()
        self._reports.tell(everything=True)

    def _survive(self, transport: Transport) -> None:
        try:
            self._turn(transport)
        except MeterlineError:
            raise
        except Exception:  # a defect of ours: whatever it is, the events that wait are still to be sent
            _logger.exception("sending usage events goes on after a defect of the SDK")
            time.sleep(_IDLE)

    def _turn(self, transport: Transport) -> None:
        self._report()
        self._reports.tell()
        self._buffer.sleep_while_empty(_IDLE)
        try:
            transport.reach()
        except UnavailableError as error:
            self._report_absence(str(error))
            self._buffer.pause(_IDLE)
        else:
            self._report_silence(transport)
        if transport.partitions and (time.monotonic() >= self._due or self._hurry or self._enough_waits(transport)):
            self._send(transport)
            self._due = time.monotonic() + self._limits.batch_seconds
        transport.poll(max(0.0, min(self._due - time.monotonic(), _LONGEST_POLL)))

    def _send(self, transport: Transport) -> None:
        hurry, self._hurry = self._hurry, False
        while True:
            batch = self._buffer.take()
            if batch is not None:
                self._queue.extend(into_records(batch, transport.partitions, transport.max_events, transport.max_bytes))
                batch.tenants, batch.texts = [], []
            for _ in range(len(self._queue)):
                if not transport.send(self._queue[0]):  # no room: the rest stays for the next turn
                    return
                self._queue.popleft()
            if batch is None or not (hurry or self._enough_waits(transport)):
                return
            transport.poll(0)

    def _enough_waits(self, transport: Transport) -> bool:
        return self._buffer.waiting() >= transport.max_events * transport.partitions

    def _answered(self, record: Record, answer: Answer) -> None:
        self._heard = time.monotonic()
        if answer.again:
            self._queue.append(record)
        else:
            self._buffer.settle(record, answer.failed)
        if answer.detail:
            self._reports.add(Problem("failed" if answer.failed else "broker", answer.failed, answer.detail))
        self._steady.set()

    def _report_silence(self, transport: Transport) -> None:
        now = time.monotonic()
        if not self._buffer.stats().pending:
            self._heard = now
        elif now - self._heard >= _SILENCE:
            self._heard = now
            self._report_absence(transport.trouble() or "nothing is acknowledged")

    def _report_absence(self, why: str) -> None:
        detail = f"{why}; {self._buffer.stats().pending} usage events wait in {self._buffer.place}"
        self._reports.add(Problem("broker", 0, detail))

    def _report(self) -> None:
        for problem in self._buffer.care():
            self._reports.add(problem)
        if dropped := self.untold():
            self._reports.add(dropped)

    def untold(self) -> Problem | None:
        """Events that were dropped since this was last asked."""
        dropped, before = self._buffer.stats().dropped, self._dropped
        self._dropped = dropped
        return Problem("dropped", dropped - before, self._buffer.why_dropped()) if dropped > before else None
