"""The ledger of items: billing.invoices is taken over once, then come intents and outcomes; one writer at a time.

All of it is decided on what is really there, once the turn is taken (``audit.log``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from meterline_api.billing.stripe.items.copy import Copy
from meterline_api.billing.stripe.items.errors import ItemsError
from meterline_api.billing.stripe.items.plan import Choices, Metered, intents, items_of, rewritten
from meterline_api.billing.stripe.tail import Tail
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Write
from meterline_schemas.billing.invoice import INVOICE, Invoice, read_invoice
from meterline_schemas.billing.item import MARK, Items, Mark, encode
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.reading import UNREADABLE
from meterline_schemas.settings import KafkaSettings

_DOCUMENTS: Final = 500  # records of billing.invoices that are taken over together
_TIMEOUT: Final = 30.0
_CLOSING: Final = 1.0


@dataclass
class Intended:
    """``standing`` are the committed intents, as they lie in the topic; ``problems`` says what is in the way."""

    standing: list[Items] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class ItemLedger:
    """``path`` is where the copy lies; None: in a temporary file. To be used by one thread at a time."""

    def __init__(self, kafka: KafkaSettings, audit: AuditLog, path: str | None = None) -> None:
        self._kafka = kafka
        self.copy = Copy(path or "", kafka.topic(topics.ITEMS))
        self._tail = Tail(kafka, audit, topics.ITEMS, self.copy)
        self._source: KafkaLog | None = None
        self._lock = threading.RLock()

    def read(self) -> None:
        """Read what came since; of what was written a moment ago the broker may not show all yet.

        Raises:
            UnavailableError: Kafka does not answer.
            ItemsError: a record cannot be read.
        """
        with self._lock:
            self._tail.read()

    def catch_up(self) -> None:
        """Take the turn and read what came since: nothing that was written before is missing. Raises as ``read``."""
        self._write(tuple)

    def new(self, choices: Choices, metered: Metered, now: datetime) -> list[Items]:
        """What would be taken over, all of it, without writing it. Raises as ``read``."""
        with self._lock:
            seen: dict[str, Items] = {}
            log = self._invoices()
            while records := list(islice(log.read_to_end(), _DOCUMENTS)):
                self._items(records, seen, choices, metered, now)
            return list(seen.values())

    def take_over(self, choices: Choices, metered: Metered, now: datetime) -> list[Items] | None:
        """Take over what ``billing.invoices`` has behind the mark, some hundred documents, each once.

        None: there is nothing more. Raises as ``read``.
        """
        with self._lock:
            mark, log = self.copy.mark, self._invoices()
            records = list(islice(log.read_to_end(), _DOCUMENTS))
            if not records:
                return None
            found: list[Items] = []

            def decided() -> Iterator[Items | Mark]:
                found.clear()
                if self.copy.mark == mark:  # else another process took these over
                    found.extend(self._items(records, {}, choices, metered, now))
                    yield from found
                    yield Mark(records[-1].offset + 1)

            self._write(decided)
            return found

    def intend(self, wanted: Sequence[Items], customer: Callable[[str], str | None], now: datetime) -> Intended:
        """Make intents of what may be sent now; on return they are committed.

        What lies as an intent by now stands, whoever wrote it: it goes out under the same key. Raises as ``read``.
        """
        intended = Intended()

        def decided() -> Iterator[Items]:
            intended.standing.clear()
            intended.problems.clear()
            changed: dict[str, Items] = {}

            def find(number: str) -> Items | None:
                return changed.get(number) or (self.copy.find(number) if number else None)

            for each in wanted:
                before = find(each.number)
                if before is not None:
                    of = find(before.of)
                    after, of_after, problem = intents(before, of, customer(before.tenant_id), now)
                    if problem:
                        intended.problems.append(f"tenant {each.tenant_id!r}, {each.number}: {problem}")
                    changed |= {new.number: new for new in (after, of_after) if new not in (before, of, None)}
            intended.standing += [found for each in wanted if (found := find(each.number)) is not None]
            yield from changed.values()

        self._write(decided)
        return intended

    def settle(self, outcomes: Sequence[Items]) -> None:
        """Write outcomes, as far as nobody wrote a better one since. Raises as ``read``."""

        def decided() -> Iterator[Items]:
            for each in outcomes:
                before = self.copy.find(each.number)
                if before is not None and (after := rewritten(before, each)) != before:
                    yield after

        self._write(decided)

    def close(self) -> None:
        """Free the connections, unless a thread of a run that was given up still waits for Kafka on them."""
        if self._lock.acquire(timeout=_CLOSING):
            try:
                self.copy.close()
                self._tail.let_go()
                if self._source is not None:
                    self._source.close()
                    self._source = None
            finally:
                self._lock.release()

    def _items(
        self, records: Sequence[Record], seen: dict[str, Items], choices: Choices, metered: Metered, now: datetime
    ) -> list[Items]:
        """Those of the documents among the records, without those that come to none. ``seen`` grows by them."""
        found: list[Items] = []
        for document in _documents(records):
            of = (seen.get(document.of) or self.copy.find(document.of)) if document.of else None
            known = self.copy.find(document.number)
            items = items_of(document, of, choices, metered, now)
            if items.items and known is None:
                seen[items.number] = items
                found.append(items)
        return found

    def _invoices(self) -> KafkaLog:
        """``billing.invoices``, to be read on from the mark."""
        if self._source is None:
            self._source = KafkaLog(self._kafka.client(), self._kafka.topic(topics.INVOICES), 0, timeout=_TIMEOUT)
        mark = self.copy.mark
        self._source.seek(self._source.start_offset() if mark is None else mark)
        return self._source

    def _write(self, decided: Callable[[], Iterable[Items | Mark]]) -> None:
        with self._lock:
            self._tail.write(lambda: map(_write, decided()))


def _documents(records: Iterable[Record]) -> Iterator[Invoice]:
    for record in records:
        if record.value is None or not (record.key or b"").startswith(INVOICE.encode()):
            continue
        try:
            yield read_invoice(record.value)
        except UNREADABLE as error:
            raise ItemsError(topics.INVOICES, record.offset, str(error)) from None


def _write(each: Items | Mark) -> Write:
    return Write(topics.ITEMS, 0, MARK if isinstance(each, Mark) else each.key, encode(each))
