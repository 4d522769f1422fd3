"""Writing one batch, in a thread of its own so that reading goes on, for as long as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from threading import Event, Thread
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set
from tenacity.wait import wait_exponential_jitter

from meterline_schemas.errors import UnavailableError
from meterline_schemas.reading import UNREADABLE
from meterline_sinks import metrics
from meterline_sinks.batch import EVENTS_TABLE, Batch, Insert
from meterline_sinks.clickhouse import RefusedError
from meterline_sinks.errors import RefusedRowError
from meterline_sinks.failpoint import Failpoint
from meterline_sinks.late import Cell, late_cells
from meterline_sinks.late_totals import TABLE as LATE_TABLE

log = logging.getLogger(__name__)


class Database(Protocol):
    def insert(self, table: str, body: bytes) -> None: ...

    def add_up_late(self, cells: Collection[Cell]) -> None:
        """Write the totals of late events of these cells, as their rows are now."""


class Writing:
    """A batch on its way into the database. It is never given up for an error, only when ``abandon`` is called.

    Unavailable: tried again with growing pauses, at most 5 s, so it catches up soon after an outage.
    Refused for what is in a row: the judge guarantees the form of every row, so this is a fault of the installation
    and not of an event. The record is found by halving and named in ``refused`` until the row is taken; everything
    goes on being tried, because what is missing may be a column. Nothing is left out, nothing behind it committed.
    """

    def __init__(self, batch: Batch, database: Database, failpoint: Failpoint) -> None:
        self.batch = batch
        self.refused: RefusedRowError | None = None
        self.trouble: str | None = None
        self._database = database
        self._failpoint = failpoint
        self._abandoned = Event()
        self._ended = Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="writing", daemon=True)
        self._thread.start()

    def ended(self) -> bool:
        """Whether all of the batch is in the database.

        Raises whatever the thread met that is no matter of the database.
        """
        if not self._ended.is_set():
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def wait(self, seconds: float) -> bool:
        self._ended.wait(seconds)
        return self.ended()

    def abandon(self) -> None:
        """Stop trying. An insert that is under way may still succeed, which does no harm: it must not be committed."""
        self._abandoned.set()

    def _run(self) -> None:
        try:
            inserts = self.batch.inserts()
            if inserts:
                self._failpoint.reach("before_insert")
            for insert in inserts:
                if not self._abandoned.is_set():
                    self._retrying(partial(self._write, insert))
                if not self._abandoned.is_set() and insert.table == EVENTS_TABLE:
                    self._retrying(partial(self._add_up_late, insert))
            if inserts:
                self._failpoint.reach("after_insert")
        except (UnavailableError, RefusedRowError):
            pass  # only raised once abandoned: nobody asks any more
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ended.set()

    def _retrying(self, attempt: Callable[[], None]) -> None:
        for step in Retrying(
            retry=retry_if_exception_type((UnavailableError, RefusedRowError)),
            wait=wait_exponential_jitter(initial=0.2, max=4, jitter=1),
            sleep=sleep_using_event(self._abandoned),
            stop=stop_when_event_set(self._abandoned),
            before_sleep=self._note,
            reraise=True,
        ):
            with step:
                attempt()
        if self.trouble is not None:
            log.info("ClickHouse takes rows again")
        self.trouble = None
        self.refused = None

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        refused = isinstance(error, RefusedRowError)
        if self.trouble is None or (refused and self.refused is None):
            log.error("%s", error)
        self.trouble = str(error)
        self.refused = error if isinstance(error, RefusedRowError) else self.refused
        metrics.FAILURES.labels("refused" if refused else "unavailable").inc()

    def _write(self, insert: Insert) -> None:
        """Write one insert whole, or name the first record that is refused."""
        body = insert.body()
        started = time.monotonic()
        try:
            self._database.insert(insert.table, body)
        except RefusedError as error:
            if self.refused is not None:
                raise self.refused from None
            raise self._find(insert, str(error)) from None
        metrics.INSERT_SECONDS.labels(insert.table).observe(time.monotonic() - started)
        metrics.BYTES.labels(insert.table).inc(len(body))
        metrics.ROWS.labels(insert.table).inc(body.count(b"\n") + 1)

    def _add_up_late(self, events: Insert) -> None:
        """Before anything is written that says of these rows that they are there."""
        cells: set[Cell] = set()
        for record, origin in zip(events.rows, events.origins, strict=True):
            try:
                cells |= late_cells(record)
            except UNREADABLE as error:
                raise RefusedRowError(*origin, LATE_TABLE, f"a line cannot be read: {error}.") from None
        if not cells:
            return
        self._failpoint.reach("before_late_totals")
        started = time.monotonic()
        self._database.add_up_late(cells)
        metrics.LATE_SECONDS.observe(time.monotonic() - started)
        metrics.LATE_CELLS.inc(len(cells))

    def _find(self, insert: Insert, answer: str) -> RefusedRowError:
        """Halve until one record is left. Halves that are taken on the way are written early, which does no harm."""
        while len(insert.rows) > 1:
            first, second = insert.halves()
            try:
                self._database.insert(first.table, first.body())
                insert = second
            except RefusedError as error:
                insert, answer = first, str(error)
        topic, partition, offset = insert.origins[0]
        return RefusedRowError(topic, partition, offset, insert.table, answer)
