"""The ledger of pushes: read from billing.pushes, and written by one writer at a time (``audit.log``).

Intents and outcomes are decided on what is really there, once the turn is taken: what another process wrote meanwhile
is never written over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from meterline_api.billing.stripe.index import Index
from meterline_api.billing.stripe.tail import Tail
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Write
from meterline_schemas.billing.push import Push, PushState, encode, identified
from meterline_schemas.settings import KafkaSettings

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
        self._index = Index(path or "", kafka.topic(topics.PUSHES))  # SQLite's own temporary file: it takes no memory
        self._tail = Tail(kafka, audit, topics.PUSHES, self._index)
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
            self._tail.read()

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
                self._tail.let_go()
            finally:
                self._lock.release()

    def _write(self, decided: Callable[[], Iterable[Push]]) -> None:
        with self._lock:
            self._tail.write(lambda: (Write(topics.PUSHES, 0, push.key, encode(push)) for push in decided()))
