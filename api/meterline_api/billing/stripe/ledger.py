"""The ledger of pushes: read from billing.pushes, and written by one writer at a time (``audit.log``).

Intents and outcomes are decided on what is really there, once the turn is taken: what another process wrote meanwhile
is never written over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec.structs import replace

from meterline_api.billing.stripe.index import Index
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Decided, Write
from meterline_schemas.billing.push import Push, PushState, encode, identified
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import KafkaSettings

_AT_ONCE: Final = 5000
_TIMEOUT: Final = 30.0
_CLOSING: Final = 1.0


@dataclass(frozen=True)
class Intended:
    """``standing`` are the intents to be sent, as they lie in the topic; ``foreign`` what others were first with.

    A foreign one is the newest push that is there in the place of one that was to be written.
    """

    standing: tuple[Push, ...]
    foreign: tuple[Push, ...]


class Ledger:
    """``path`` is where the index lies; None: in a temporary file. To be used by one thread at a time."""

    def __init__(self, kafka: KafkaSettings, audit: AuditLog, path: str | None = None) -> None:
        self._kafka = kafka
        self._audit = audit
        self._topic = kafka.topic(topics.PUSHES)
        self._index = Index(path or "", self._topic)  # SQLite's own temporary file: very many pushes take no memory
        self._log: KafkaLog | None = None
        self._lock = threading.RLock()

    @property
    def index(self) -> Index:
        return self._index

    def catch_up(self) -> None:
        """Take the turn and read what came since: nothing that was written before this call is missing.

        Raises what ``read`` raises.
        """
        self._write(tuple)

    def read(self) -> None:
        """Read what came since; of what was written a moment ago the broker may not show all yet.

        Raises:
            UnavailableError: Kafka does not answer.
            LedgerError: a record cannot be read.
        """
        with self._lock:
            self._take(self._opened().read_to_end())

    def intend(self, pushes: Sequence[Push]) -> Intended:
        """Write intents; on return those that stand are committed.

        One is left out where its key has an intent or a newer revision by now. One that is there with the same
        revision and value stands, whoever wrote it: its identifier is the same.

        Raises what ``read`` raises.
        """
        standing: list[Push] = []
        foreign: list[Push] = []

        def decided() -> Iterator[Push]:
            standing.clear()
            foreign.clear()
            for push in pushes:
                last = self._index.find(push)
                if last is None or (last.state is not PushState.INTENT and last.revision == push.revision - 1):
                    standing.append(push)
                    yield push
                elif (last.state, last.identifier, last.value, last.tenant_id) == (
                    PushState.INTENT,
                    push.identifier,
                    push.value,
                    push.tenant_id,
                ):
                    standing.append(last)
                else:
                    foreign.append(last)

        self._write(decided)
        return Intended(tuple(standing), tuple(foreign))

    def settle(self, outcomes: Sequence[Push]) -> None:
        """Write outcomes; one is left out where its key has an outcome or a newer revision by now.

        But ``delivered`` stands in the place of ``refused``: two may have sent it, and one of them was heard. Not in
        that of what Stripe refused by an event: that is told after it was delivered.

        Raises what ``read`` raises.
        """

        def decided() -> Iterator[Push]:
            for push in outcomes:
                last = self._index.find(push)
                if last is not None and last.revision == push.revision:
                    better = last.state is PushState.REFUSED and push.state is PushState.DELIVERED and not last.reported
                    if last.state is PushState.INTENT or better:
                        yield push

        self._write(decided)

    def reject(self, refusals: Mapping[str, str], event: str, now: datetime) -> list[Push]:
        """Set refused what Stripe took and does not count, as its ``event`` tells: why, by identifier.

        Those of it that are the newest of their days, and refused by this event now or before. Raises what ``read``
        raises.
        """
        rejected: list[Push] = []

        def decided() -> Iterator[Push]:
            rejected.clear()
            for identifier, why in refusals.items():
                named = identified(identifier)
                last = None if named is None else self._index.newest(named.customer, named.meter, named.day)
                if last is None or last.identifier != identifier:
                    continue
                if last.state is not PushState.REFUSED:
                    last = replace(last, state=PushState.REFUSED, at=now, detail=why, request_id=event)
                    yield last
                if last.request_id == event:
                    rejected.append(last)

        self._write(decided)
        return rejected

    def close(self) -> None:
        """Free the connections, unless a thread of a run that was given up still waits for Kafka on them."""
        if self._lock.acquire(timeout=_CLOSING):
            try:
                self._index.close()
                self._let_go()
            finally:
                self._lock.release()

    def _write(self, decided: Callable[[], Iterable[Push]]) -> None:
        def decide() -> Decided:
            self._take(self._audit.past_ours(self._opened(), topics.PUSHES))
            return [Write(topics.PUSHES, 0, push.key, encode(push)) for push in decided()], ()

        with self._lock:
            self._audit.write(decide)
            self._take(self._audit.past_ours(self._opened(), topics.PUSHES))

    def _opened(self) -> KafkaLog:
        if self._log is None:
            log = KafkaLog(self._kafka.client(), self._topic, 0, timeout=_TIMEOUT)
            position = self._index.position
            if position is not None and not self._goes_on(log, position):
                self._index.clear()
                position = None
            log.seek(log.start_offset() if position is None else position)
            self._log = log
        return self._log

    def _goes_on(self, log: KafkaLog, position: int) -> bool:
        """Whether the index is of this topic, as far as can be seen: one that was made anew begins again at 0."""
        low, high = log.bounds()
        if not low <= position <= high:
            return False
        with closing(KafkaLog(self._kafka.client(), self._topic, 0, start=position - 1, timeout=_TIMEOUT)) as before:
            first = next(before.read_to_end(), None)
        return first is None or self._index.agrees(first)

    def _take(self, records: Iterator[Record]) -> None:
        try:
            while chunk := list(islice(records, _AT_ONCE)):
                self._index.take(chunk)
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
