"""``UsageProducer``: what an app calls when something billable happens."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from meterline.buffer import Buffer, MemoryBuffer, Stats
from meterline.destination import destination
from meterline.encoding import Quantity, check_size, line_of, line_of_event, name_text, time_text
from meterline.limits import Limits
from meterline.marks import marks
from meterline.producing import Producing
from meterline.reports import Problem, Reporter
from meterline.sender import Sender
from meterline.spool import Spool
from meterline_schemas.event import UsageEvent

_open: set[UsageProducer] = set()
_orphans: list[object] = []  # clients of the parent process: a child must neither use nor free them


class UsageProducer(Producing):
    """Sends usage events to Kafka, or to the HTTP API, without ever waiting for it.

    One per app is right: any thread may use it, and after a fork the child gets a connection, a buffer and counts of
    its own with its first ``track``. Nothing is opened before the first ``track`` of a process. Events that are not
    acknowledged yet wait in memory, or in a ``spool`` on disk, within ``limits``; beyond them they are dropped, counted
    in ``stats`` and told to the log and ``on_error``. A process that ends normally sends what waits (``exit_seconds``).
    One that is killed loses what waits in memory; what is in the spool is sent by whoever uses the folder next.

    ``bootstrap_servers``, ``kafka_config`` (further librdkafka properties) and ``topic_prefix`` default to
    ``METERLINE_KAFKA``, ``METERLINE_KAFKA_CONFIG`` and ``METERLINE_TOPIC_PREFIX``; the API's ``url`` and
    ``api_key`` to ``METERLINE_API_URL`` and ``METERLINE_API_KEY``. Kafka is used unless only the API is named.
    ``spool`` is a folder or a ``Spool``, by default ``METERLINE_SPOOL``. ``source`` names the app on every event.
    ``on_error`` is called by the background thread.

    Raises:
        ConfigurationError: how to reach Meterline is missing or wrong, or the spool cannot be written.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        source: str | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        topic_prefix: str | None = None,
        url: str | None = None,
        api_key: str | None = None,
        limits: Limits | None = None,
        spool: Spool | str | os.PathLike[str] | None = None,
        on_error: Callable[[Problem], None] | None = None,
    ) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits must be Limits(...), not {type(limits).__name__}")
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error must be a function, not {type(on_error).__name__}")
        self._limits = limits or Limits()
        self._connect = destination(bootstrap_servers, kafka_config, topic_prefix, url, api_key, self._limits)
        self._source = source
        self._on_error = on_error
        if source is not None:
            name_text("source", source)
        spool = spool or os.environ.get("METERLINE_SPOOL") or None
        self._spool = spool if spool is None or isinstance(spool, Spool) else Spool(spool)
        if self._spool is not None:
            self._spool.check()
        self._set_up()
        _open.add(self)

    def _set_up(self) -> None:
        self._buffer = self._make_buffer()
        self._sender: Sender | None = None
        self._starting = threading.Lock()

    def _make_buffer(self) -> Buffer:
        if self._spool is None:
            return MemoryBuffer(self._limits)
        from meterline.spool.buffer import SpoolBuffer  # needs file locks, which not every system has

        return SpoolBuffer(self._limits, self._spool)

    def track(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity = 1,
        *,
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        id: str | None = None,
    ) -> str:
        """Take one event and return its id. Never waits, and never raises for anything about Kafka.

        ``quantity`` is an int, a Decimal or a decimal str, exact to 9 decimals and below 10^18. ``timestamp``, with a
        time zone, is now by default. ``id`` is a new UUIDv7 by default; pass one that your own data already has (an
        order's number) and the event counts once however often it is tracked, as long as its timestamp is the same.
        ``properties`` are opaque: no personal data.

        Raises:
            InvalidUsageError: a value that can never count; also a ValueError.
            TypeError: a value of the wrong type, such as a float quantity.
        """
        if id is None:
            id, now = marks()
            line = line_of(
                id,
                tenant_id,
                metric,
                quantity,
                now if timestamp is None else time_text(timestamp),
                subject,
                self._source,
                properties,
            )
        else:
            when = marks()[1] if timestamp is None else time_text(timestamp)
            line = line_of(name_text("id", id), tenant_id, metric, quantity, when, subject, self._source, properties)
        self._buffer.put((tenant_id, line, check_size(line)))
        if self._sender is None:
            self._start()
        return id

    def track_event(self, event: UsageEvent) -> str:
        """Take an event that is complete already, as decoded from a line of JSON; its id.

        Raises:
            InvalidLine: with the reason and detail that the stream would reject it with.
        """
        line = line_of_event(event)
        self._buffer.put((event.tenant_id, line, check_size(line)))
        if self._sender is None:
            self._start()
        return event.id

    def stats(self) -> Stats:
        """Counts of this process."""
        return self._buffer.stats()

    def flush(self, timeout: float = 10.0) -> int:
        """Send all that is pending and wait for the answers, at most ``timeout`` seconds; how many still wait.

        With a spool that includes what processes that ended left behind in it.
        """
        if self._sender is None and self._spool is not None:
            self._start()
        if self._sender is not None:
            self._buffer.look_again()
            self._sender.hurry()
        return self._buffer.wait_until_settled(timeout)

    def close(self, timeout: float = 10.0) -> int:
        """Flush and end; how many events were not acknowledged. What is tracked later is dropped.

        Those that are in the spool stay pending and are sent by whoever uses it next; others are counted as failed.
        """
        self._buffer.closed = True
        try:
            return self._end(timeout)
        finally:
            _open.discard(self)  # not before: a child that is forked meanwhile has to let go of the spool

    def _end(self, timeout: float) -> int:
        sender = self._sender
        if sender is None:
            return self._buffer.give_up()
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        sender.stop()
        sender.join(max(0.5, deadline - time.monotonic()))
        reports = Reporter(self._on_error, 0)
        if sender.is_alive() and (problem := sender.untold()):
            reports.add(problem)
        left, place = self._buffer.give_up(), self._buffer.place
        if left:
            if self._spool is None:
                reports.add(Problem("failed", left, f"they were not acknowledged within {timeout:g} s of closing"))
            else:
                reports.add(Problem("broker", 0, f"{left} usage events stay in {place} and are sent from there later"))
        reports.tell()
        return left

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # who holds it starts it; to wait here would be for ever in a signal handler
        try:
            if self._sender is not None or self._buffer.closed:
                return
            reports = Reporter(self._on_error, self._limits.report_seconds)
            sender = Sender(self._buffer, self._connect, self._limits, reports)
            try:
                sender.start()
            except RuntimeError:
                return  # no thread to be had now, or the interpreter is ending: the next ``track`` tries again
            self._sender = sender
            if self._buffer.closed:
                sender.stop()
        finally:
            self._starting.release()
        # a child of multiprocessing ends without atexit
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, _close_all, exitpriority=100)

    def _before_fork(self) -> None:
        if self._sender is not None:
            self._sender.wait_until_it_is_steady()

    def _after_fork(self) -> None:
        if self._sender is not None:
            _orphans.append(self._sender)
        self._buffer.abandon()
        self._set_up()


def _close_all() -> None:
    for producer in list(_open):
        producer.close(producer._limits.exit_seconds)


def _before_fork() -> None:
    for producer in list(_open):
        producer._before_fork()


def _after_fork() -> None:
    for producer in list(_open):
        producer._after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
