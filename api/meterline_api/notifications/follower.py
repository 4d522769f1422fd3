"""A thread that keeps the deliveries up to date with ``meterline.deliveries``."""

from __future__ import annotations

import logging
import threading
from typing import Final, Protocol

from meterline_api.notifications.deliveries import Deliveries
from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_tail import Followed

log = logging.getLogger(__name__)

_ONE_READ: Final = 0.1  # seconds: an attempt is seen about so much after it was written down
_AFTER_TROUBLE: Final = 1.0
_NOT_YET: Final = "the ledger has not been read to its end yet; ask again in a moment"


class Tail(Protocol):
    @property
    def caught_up(self) -> bool: ...
    def read(self, seconds: float) -> list[Followed]: ...
    def close(self) -> None: ...


class Follower(threading.Thread):
    """Reads the ledger into ``deliveries`` as it grows, until ``stop``. ``trouble``: why they are not known yet.

    The events that this process takes do not wait for it.
    """

    def __init__(self, deliveries: Deliveries, tail: Tail) -> None:
        super().__init__(name="deliveries", daemon=True)
        self._deliveries = deliveries
        self._tail = tail
        self._stopping = threading.Event()
        self._ready = False
        self.trouble = _NOT_YET

    def run(self) -> None:
        while not self._stopping.is_set():
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
            problem = self._deliveries.apply(record.partition, record.value)
            if problem is not None:
                log.warning(
                    "record %d of %s[%d] is passed over: %s", record.offset, record.topic, record.partition, problem
                )
        self._ready = self._ready or self._tail.caught_up
        self.trouble = "" if self._ready else _NOT_YET
