"""Writing the audit log, together with the changes that it speaks of: one writer at a time, whichever process it is in.

1. take the turn: a transaction with one id for all writers, which ends whoever held it before. It is kept until
   another takes it;
2. where it is newly taken, read what was written since, up to the last entry; where that has what the last attempt
   wrote, that is the outcome;
3. decide what to write;
4. write it with its entries in one transaction, and commit. A writer that lost its turn in between fails here and
   begins again: whether its commit came through after all, as the broker may answer neither way, step 2 tells.
"""

from __future__ import annotations

import getpass
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from meterline_schemas import topics
from meterline_schemas.audit.chain import Chain
from meterline_schemas.audit.entry import AuditEntry, Author, Draft, written
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_client import fence
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import KafkaSettings

TRANSACTIONAL_ID: Final = "meterline-catalog"  # older versions change the catalog under it too
_TIMEOUT: Final = 30.0
_PAUSE: Final = 0.05  # seconds at most, times the attempts: writers that lose their turns to each other part
_WINDOW: Final = 64  # records at the end of the log that are looked at first
_LOST_THE_TURN: Final = {
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.PRODUCER_FENCED,
    KafkaError.UNKNOWN,  # "unknown broker error": to a commit that meets the next writer's beginning
}


class Write(NamedTuple):
    """A record of another topic, named without prefix, that is written together with entries."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None


Decided = tuple[Sequence[Write], Sequence[Draft]]


class AuditLog:
    """The audit log of one installation, to be written. Safe from several threads and processes."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topics.AUDIT)
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._tail: KafkaLog | None = None
        self._chain = Chain(start=False)
        self._seen: set[str] = set()  # ids of entries that came since the last attempt
        self._ours: dict[str, int] = {}  # by topic, where what this turn committed last lies

    def append(self, *drafts: Draft) -> list[AuditEntry]:
        """Write entries, in this order; on return they are committed. Raises what ``write`` raises."""
        return self.write(lambda: ((), drafts))

    def write(self, decide: Callable[[], Decided]) -> list[AuditEntry]:
        """Write what ``decide`` returns, all of it or nothing; the entries, committed.

        ``decide`` is called with the turn taken, and again where the turn was lost. It may raise: nothing is written.

        Raises:
            UnavailableError: Kafka does not answer; whether it was written is to be read.
        """
        deadline = time.monotonic() + _TIMEOUT
        attempt, last = 0, list[AuditEntry]()
        with self._lock:
            self._seen.clear()
            while True:
                kept = self._producer is not None and self._tail is not None
                attempt += 1
                try:
                    producer = self._turn()
                    if not kept:  # nobody else writes while the turn is ours
                        self._read_tail()
                    if last and last[0].id in self._seen:
                        return last
                    records, drafts = decide()
                    last = self._chained(drafts)
                    self._commit(producer, records, last)
                    for entry in last:
                        self._chain.follow(0, entry)
                    return last
                except KafkaException as error:
                    self._lose_turn()
                    known = error.args[0].code() in _LOST_THE_TURN or kept  # a turn may have grown old
                    if not known or time.monotonic() >= deadline:
                        raise UnavailableError(f"cannot write {self._topic}: {error.args[0].str()}") from None
                except UnavailableError:
                    self._let_go()
                    raise
                if attempt > 1:
                    time.sleep(random.uniform(0, _PAUSE * min(attempt, 10)))

    def head(self) -> AuditEntry | None:
        """The last entry; None where there is none yet.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        chain = Chain(start=False)
        with closing(self._open()) as log:
            for record in _end_of(log):
                chain.add(record.offset, record.value)
        return chain.head

    def past_ours(self, log: KafkaLog, topic: str) -> Iterator[Record]:
        """What came on a log since it was read last, with all that this turn committed: its mark may come late.

        For ``decide``. Raises what ``KafkaLog.read_to_end`` raises.
        """
        deadline = time.monotonic() + _TIMEOUT
        yield from log.read_to_end()
        while log.position <= self._ours.get(self._kafka.topic(topic), -1):
            if time.monotonic() >= deadline:
                raise UnavailableError(f"Kafka does not finish a transaction on {self._kafka.topic(topic)}")
            yield from log.read_to_end()

    def close(self) -> None:
        """Free the connections; it may be written again."""
        with self._lock:
            self._let_go()

    def _turn(self) -> Producer:
        if self._producer is None:
            producer = Producer(
                {
                    **self._kafka.client(),
                    "transactional.id": self._kafka.topic(TRANSACTIONAL_ID),
                    "transaction.timeout.ms": 15_000,
                    "linger.ms": 0,
                    "log_level": 0,
                }
            )
            fence(producer, self._topic, _TIMEOUT)
            self._producer = producer
        return self._producer

    def _lose_turn(self) -> None:
        """The tail goes on where it is: it must not miss what the last attempt wrote."""
        self._producer = None
        self._ours = {}

    def _let_go(self) -> None:
        self._lose_turn()
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _open(self) -> KafkaLog:
        return KafkaLog(self._kafka.client(), self._topic, 0, timeout=_TIMEOUT)

    def _read_tail(self) -> None:
        """Up to the last entry. Of a log that is newly opened only its end."""
        if self._tail is None:
            self._chain = Chain(start=False)
            self._tail = self._open()
            new = _end_of(self._tail)
        else:
            new = list(self._tail.read_to_end())
        for record in new:
            before = self._chain.head
            self._chain.add(record.offset, record.value)
            if self._chain.head is not None and self._chain.head is not before:
                self._seen.add(self._chain.head.id)

    def _chained(self, drafts: Sequence[Draft]) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        seq, previous, now = self._chain.seq, self._chain.hash, datetime.now(UTC)
        for draft in drafts:
            seq += 1
            found.append(written(draft, seq=seq, id=f"aud_{secrets.token_hex(16)}", at=now, previous=previous))
            previous = found[-1].hash
        return found

    def _commit(self, producer: Producer, records: Sequence[Write], entries: Sequence[AuditEntry]) -> None:
        if not records and not entries:
            return
        lies: dict[str, int] = {}

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None and message.partition() == 0:
                lies[message.topic()] = message.offset()

        producer.begin_transaction()
        try:
            for each in records:
                topic = self._kafka.topic(each.topic)
                producer.produce(topic, each.value, each.key, each.partition, on_delivery=delivered)
            for entry in entries:
                producer.produce(self._topic, entry.encode(), None, 0, on_delivery=delivered)
        except BaseException:
            with suppress(KafkaException):  # left open, it would keep others from reading on
                producer.abort_transaction(_TIMEOUT)
            raise
        producer.commit_transaction(_TIMEOUT)
        producer.poll(0)
        self._ours |= lies


def process_author() -> Author:
    """Whoever runs this process: the author of what no request asked for."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return Author(f"cli:{user}", socket.gethostname())


def _end_of(log: KafkaLog) -> list[Record]:
    """The last records: enough of them that an entry is among them, if there is any. ``log`` is then at its end.

    Marks of transactions take offsets too: a window may hold nothing else.
    """
    try:
        low, high = log.bounds()
    except UnavailableError as error:
        raise UnavailableError(f"{error}; where the topic is missing `meterline setup` makes it") from None
    window = _WINDOW
    while True:
        start = max(low, high - window)
        log.seek(start)
        found = list(log.read_to_end())
        chain = Chain(start=False)
        for record in found:
            chain.add(record.offset, record.value)
        if chain.head is not None or start == low:
            return found
        window *= 4
