"""A ledger's topic: copied as it grows, and written by one writer at a time (``audit.log``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Final, Protocol

from meterline_schemas.audit.log import AuditLog, Decided, Write
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import KafkaSettings

_AT_ONCE: Final = 5000
_TIMEOUT: Final = 30.0


class Copy(Protocol):
    """What a topic is read into (``local.Local`` keeps the place)."""

    @property
    def position(self) -> int | None: ...
    def agrees(self, record: Record) -> bool: ...
    def clear(self) -> None: ...
    def take(self, records: Sequence[Record]) -> None: ...


class Tail:
    """``topic`` is the name without prefix; it has one partition. To be used by one thread at a time."""

    def __init__(self, kafka: KafkaSettings, audit: AuditLog, topic: str, copy: Copy) -> None:
        self._kafka = kafka
        self._audit = audit
        self._topic = topic
        self._copy = copy
        self._log: KafkaLog | None = None

    def read(self) -> None:
        """Read what came since; of what was written a moment ago the broker may not show all yet.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        self._take(self._opened().read_to_end())

    def write(self, decided: Callable[[], Iterable[Write]]) -> None:
        """Write what is decided once the turn is taken and all before it is read; on return it is committed and read.

        Raises as ``read``.
        """

        def decide() -> Decided:
            self._take(self._audit.past_ours(self._opened(), self._topic))
            return list(decided()), ()

        self._audit.write(decide)
        self._take(self._audit.past_ours(self._opened(), self._topic))

    def let_go(self) -> None:
        """Free the connection; it may be used again."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _opened(self) -> KafkaLog:
        if self._log is None:
            log = self._open()
            position = self._copy.position
            if position is not None and not self._goes_on(log, position):
                self._copy.clear()
                position = None
            log.seek(log.start_offset() if position is None else position)
            self._log = log
        return self._log

    def _open(self, start: int | None = None) -> KafkaLog:
        return KafkaLog(self._kafka.client(), self._kafka.topic(self._topic), 0, start=start, timeout=_TIMEOUT)

    def _goes_on(self, log: KafkaLog, position: int) -> bool:
        """Whether the copy is of this topic, as far as can be seen: one that was made anew begins again at 0."""
        low, high = log.bounds()
        if not low <= position <= high:
            return False
        with closing(self._open(position - 1)) as before:
            first = next(before.read_to_end(), None)
        return first is None or self._copy.agrees(first)

    def _take(self, records: Iterator[Record]) -> None:
        try:
            while chunk := list(islice(records, _AT_ONCE)):
                self._copy.take(chunk)
        except BaseException:
            self.let_go()
            raise
