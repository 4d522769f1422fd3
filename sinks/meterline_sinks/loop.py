"""The sink itself: read, write, commit."""

from __future__ import annotations

import logging
import time
from threading import Event
from typing import Final

from meterline_sinks import metrics
from meterline_sinks.batch import Batch, Partition
from meterline_sinks.failpoint import Failpoint
from meterline_sinks.kafka import Source
from meterline_sinks.settings import SinkSettings
from meterline_sinks.writer import Database, Writing

log = logging.getLogger(__name__)

_READ_LIMIT: Final = 100  # records of one call: small enough that a batch does not grow far beyond its size
_READ_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 5.0
_COMMIT_AGAIN_SECONDS: Final = 0.5


class Loop:
    """One batch is read while the one before it is written; a third is never begun, so memory is bounded.

    1. while the batch is full and cannot be written yet, hold reading (and stay in the group)
    2. read records into it; when the partitions are dealt anew, drop all that is not committed
    3. when the batch before is written and this one is due, by age or by size, begin to write it: its events, the
       totals of the late ones among them (``late_totals``), everything else, and progress last
    4. commit the offsets of the one before

    A crash before 4 repeats the write. Rows replace themselves, so that changes nothing.
    """

    def __init__(self, source: Source, database: Database, settings: SinkSettings) -> None:
        self._source = source
        self._database = database
        self._settings = settings
        self._failpoint = Failpoint(settings.crash)
        self._stop = Event()
        self._batch = Batch()
        self._writing: Writing | None = None
        self._written: dict[Partition, int] = {}  # in the database, not yet committed
        self._begun = 0.0
        self._commit_after = 0.0

    def stop(self) -> None:
        """End after the current step. May be called from a signal handler or another thread."""
        self._stop.set()

    def run(self) -> None:
        """Work until ``stop``.

        Raises:
            MeterlineError: going on is pointless or would lose something; the text says what to do.
        """
        while not self._stop.is_set():
            self.step()
        if self._writing is not None and self._writing.wait(_STOP_SECONDS):
            self._settle()
        elif self._writing is not None:
            self._writing.abandon()
        self._commit()

    def step(self) -> None:
        full = self._batch.bytes >= self._settings.flush_bytes
        self._source.hold(full)
        metrics.PAUSED.set(full)
        if full and self._writing is not None:
            self._writing.wait(_READ_SECONDS)
        if not self._source.read_into(self._batch, _READ_LIMIT, 0 if full else _READ_SECONDS):
            self._drop()
        self._settle()
        self._begin()
        self._commit()
        metrics.PENDING_BYTES.set(self._batch.bytes + (self._writing.batch.bytes if self._writing else 0))

    @property
    def trouble(self) -> str | None:
        """What keeps the current write from succeeding, if anything does."""
        writing = self._writing
        return writing.trouble if writing is not None else None

    @property
    def refused(self) -> str | None:
        """The row that ClickHouse does not take, if there is one."""
        writing = self._writing
        return str(writing.refused) if writing is not None and writing.refused is not None else None

    def _drop(self) -> None:
        if self._writing is not None:
            self._writing.abandon()
            self._writing = None
        self._batch = Batch()
        self._written = {}

    def _settle(self) -> None:
        if self._writing is not None and self._writing.ended():
            self._written.update(self._writing.batch.next_offsets)
            self._writing = None

    def _commit(self) -> None:
        if not self._written or time.monotonic() < self._commit_after:
            return
        if not self._source.commit(self._written):
            self._commit_after = time.monotonic() + _COMMIT_AGAIN_SECONDS
        else:
            self._written = {}
            metrics.LAST_COMMIT.set_to_current_time()
            self._failpoint.reach("after_commit")

    def _begin(self) -> None:
        if self._writing is not None or not self._batch:
            return
        now = time.monotonic()
        if now - self._begun >= self._settings.flush_seconds or self._batch.bytes >= self._settings.flush_bytes:
            for (topic, partition, offset), problem in self._batch.passed_over:
                log.warning("%s[%d] offset %d is passed over: %s", topic, partition, offset, problem)
            self._writing, self._batch = Writing(self._batch, self._database, self._failpoint), Batch()
            self._begun = now
