"""A thread that writes entries of the audit log: all that wait go into one transaction."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Protocol

from meterline_schemas.audit.entry import AuditEntry, Draft

_AT_ONCE: Final = 500

Waiting = tuple[Draft, "Future[AuditEntry]"]


class Log(Protocol):
    def append(self, *drafts: Draft) -> Sequence[AuditEntry]: ...


class Recorder(threading.Thread):
    """Writes until ``stop``; what was handed over before that is still written."""

    def __init__(self, log: Log) -> None:
        super().__init__(name="audit", daemon=True)
        self._log = log
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()

    def record(self, draft: Draft) -> Future[AuditEntry]:
        """The entry, once it is committed; ``UnavailableError`` where it may not be. Cancelled, it is not begun."""
        future: Future[AuditEntry] = Future()
        self._queue.put((draft, future))
        return future

    def run(self) -> None:
        stopping = False
        while not stopping:
            found = [self._queue.get()]
            while len(found) < _AT_ONCE and not self._queue.empty():
                found.append(self._queue.get())
            stopping = None in found
            self._write([each for each in found if each is not None and each[1].set_running_or_notify_cancel()])

    def stop(self) -> None:
        self._queue.put(None)

    def _write(self, waiting: Sequence[Waiting]) -> None:
        if not waiting:
            return
        try:
            entries = self._log.append(*(draft for draft, _future in waiting))
        except Exception as error:
            for _draft, future in waiting:
                future.set_exception(error)
            return
        for (_draft, future), entry in zip(waiting, entries, strict=True):
            future.set_result(entry)
