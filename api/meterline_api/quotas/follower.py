"""A thread that keeps the counters up to date with ``usage.counters``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from meterline_api.quotas.counters import Counters
from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_tail import Followed

log = logging.getLogger(__name__)

_ONE_READ: Final = 0.1  # seconds: a counter is seen about so much after it was committed
_AFTER_TROUBLE: Final = 1.0
_NOT_YET: Final = "the counters of quotas have not been read yet"


class Tail(Protocol):
    @property
    def caught_up(self) -> bool: ...
    def read(self, seconds: float) -> list[Followed]: ...
    def close(self) -> None: ...


class Follower(threading.Thread):
    """Reads the topic into ``counters`` as it grows, until ``stop``.

    ``partitions`` is 0 until the catalog says how many there are: it waits for that, because a counter stands only
    where its tenant is at home. ``ready`` turns true when everything has been read once.
    """

    def __init__(self, counters: Counters, tail: Tail, partitions: Callable[[], int]) -> None:
        super().__init__(name="counters", daemon=True)
        self._counters = counters
        self._tail = tail
        self._partitions = partitions
        self._stopping = threading.Event()
        self.ready = False
        self.trouble = _NOT_YET

    def run(self) -> None:
        while not self._stopping.is_set():
            self._counters.partitions = self._partitions()
            if not self._counters.partitions:
                self._stopping.wait(_ONE_READ)
                continue
            try:
                self._read()
            except MeterlineError as error:
                if str(error) != self.trouble:
                    log.warning("%s", error)
                self.trouble = str(error)
                self._stopping.wait(_AFTER_TROUBLE)
        self._tail.close()

    def stop(self) -> None:
        self._stopping.set()

    def _read(self) -> None:
        for record in self._tail.read(_ONE_READ):
            problem = self._counters.apply(record.partition, record.key, record.value)
            if problem is not None:
                log.warning(
                    "record %d of %s[%d] is passed over: %s", record.offset, record.topic, record.partition, problem
                )
        self.ready = self.ready or self._tail.caught_up
        self.trouble = "" if self.ready else _NOT_YET
