"""``UsageProducer``: what an app calls when something billable happens."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from meterline.buffer import Buffer, Stats
from meterline.connection import check, client_settings
from meterline.encoding import Quantity, check_size, line_of, line_of_event, name_text, time_text
from meterline.limits import Limits
from meterline.marks import marks
from meterline.reports import Problem, Reporter
from meterline.sender import Sender
from meterline_schemas.event import UsageEvent
from meterline_schemas.topics import EVENTS

_open: set[UsageProducer] = set()
_orphans: list[object] = []  # clients of the parent process: a child must neither use nor free them


class UsageProducer:
    """Sends usage events to Kafka without ever waiting for it.

    One per app is right: any thread may use it, and after a fork the child gets a connection, a buffer and counts of
    its own with its first ``track``. Nothing is opened before the first ``track`` of a process. Events that Kafka
    does not take yet wait in memory, within ``limits``; beyond them they are dropped, counted in ``stats`` and told to
    the log and ``on_error``. A process that ends normally sends what waits (``exit_seconds``); one that is killed
    loses it: what must not be lost goes through ``flush`` before it is confirmed to others.

    ``bootstrap_servers``, ``kafka_config`` (further librdkafka properties) and ``topic_prefix`` default to
    ``METERLINE_KAFKA``, ``METERLINE_KAFKA_CONFIG`` and ``METERLINE_TOPIC_PREFIX``. ``source`` names the app on every
    event. ``on_error`` is called by the background thread.

    Raises:
        ConfigurationError: how to reach Kafka is missing, or librdkafka does not take it.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        source: str | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        topic_prefix: str | None = None,
        limits: Limits | None = None,
        on_error: Callable[[Problem], None] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._client = client_settings(bootstrap_servers, kafka_config)
        prefix = os.environ.get("METERLINE_TOPIC_PREFIX", "") if topic_prefix is None else topic_prefix
        self._topic = prefix + EVENTS
        self._source = source
        self._on_error = on_error
        if source is not None:
            name_text("source", source)
        check(self._client, **self._limits.queue())
        self._set_up()
        _open.add(self)

    def _set_up(self) -> None:
        self._buffer = Buffer(self._limits.max_events, self._limits.max_bytes)
        self._sender: Sender | None = None
        self._starting = threading.Lock()

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
        """Send all that is pending and wait for Kafka's answer, at most ``timeout`` seconds; how many still wait."""
        if self._sender is not None:
            self._sender.hurry()
        return self._buffer.wait_until_settled(timeout)

    def close(self, timeout: float = 10.0) -> int:
        """Flush and end; how many events are given up (counted as failed). What is tracked later is dropped."""
        self._buffer.closed = True
        _open.discard(self)
        sender = self._sender
        if sender is None:
            return self._buffer.give_up()
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        sender.stop()
        sender.join(max(0.5, deadline - time.monotonic()))
        given_up = self._buffer.give_up()
        if given_up:
            detail = f"Kafka did not acknowledge them within {timeout:g} s of closing"
            reports = Reporter(self._on_error, 0)
            reports.add(Problem("failed", given_up, detail))
            reports.tell()
        return given_up

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        with self._starting:
            if self._sender is not None or self._buffer.closed:
                return
            sender = Sender(
                self._buffer,
                self._client,
                self._topic,
                self._limits,
                Reporter(self._on_error, self._limits.report_seconds),
            )
            try:
                sender.start()
            except RuntimeError:
                return  # no thread to be had now, or the interpreter is ending: the next ``track`` tries again
            self._sender = sender
        # a child of multiprocessing ends without atexit
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, _close_all, exitpriority=100)

    def _after_fork(self) -> None:
        if self._sender is not None:
            _orphans.append(self._sender)
        self._set_up()


def _close_all() -> None:
    for producer in list(_open):
        producer.close(producer._limits.exit_seconds)


def _after_fork() -> None:
    for producer in list(_open):
        producer._after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
