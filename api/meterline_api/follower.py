"""A thread that keeps something in memory up to date with its topics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from meterline_schemas.errors import MeterlineError
from meterline_schemas.kafka_tail import Followed

log = logging.getLogger(__name__)

_ONE_READ: Final = 0.1  # seconds: a record is seen about so much after it was committed
_AFTER_TROUBLE: Final = 1.0


class Tail(Protocol):
    @property
    def caught_up(self) -> bool: ...
    def read(self, seconds: float) -> list[Followed]: ...
    def close(self) -> None: ...


class Follower(threading.Thread):
    """Hands records to ``apply`` as they come, until ``stop``.

    It begins when ``may_begin`` says so. ``ready`` turns true when everything that was there has been read once.
    ``trouble`` says why it is not, or why Kafka does not let it read on; ``not_yet`` is what it says at first.
    """

    def __init__(
        self,
        name: str,
        tail: Tail,
        apply: Callable[[list[Followed]], None],
        not_yet: str,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._tail = tail
        self._apply = apply
        self._not_yet = not_yet
        self._may_begin = may_begin
        self._stopping = threading.Event()
        self.ready = False
        self.trouble = not_yet

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self._may_begin():
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
        found = self._tail.read(_ONE_READ)
        if found:
            self._apply(found)
        self.ready = self.ready or self._tail.caught_up
        self.trouble = "" if self.ready else self._not_yet


def one_by_one(apply: Callable[[Followed], str | None]) -> Callable[[list[Followed]], None]:
    """Each record to ``apply``; what that says is wrong with it goes to the log."""

    def apply_all(records: list[Followed]) -> None:
        for record in records:
            problem = apply(record)
            if problem is not None:
                where = record.offset, record.topic, record.partition
                log.warning("record %d of %s[%d] is passed over: %s", *where, problem)

    return apply_all
