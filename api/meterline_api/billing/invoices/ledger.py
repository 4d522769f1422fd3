"""Writing invoices: numbered without a gap, each period of a tenant once, whoever closes and however that ends.

A document, how far its tenant is closed, and the last number are one transaction, decided on what is really there
(``audit.log``): two processes that close the same period give one invoice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from meterline_schemas import topics
from meterline_schemas.audit.entry import Draft
from meterline_schemas.audit.log import AuditLog, Decided, Write
from meterline_schemas.billing.closing import (
    SERIES,
    TENANT,
    VOID,
    Closing,
    Series,
    Voided,
    read_closing,
    read_series,
    read_voided,
)
from meterline_schemas.billing.closing import encode as encode_closing
from meterline_schemas.billing.invoice import DocumentKind, Invoice
from meterline_schemas.billing.invoice import encode as encode_invoice
from meterline_schemas.errors import MeterlineError, UnavailableError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings

_TIMEOUT: Final = 30.0


@dataclass(frozen=True)
class Closed:
    """A period of a tenant that is to be closed. ``invoice`` has no number yet; None: there is nothing to invoice."""

    tenant_id: str
    start: datetime
    end: datetime
    invoice: Invoice | None = None


@dataclass
class State:
    """How far billing has come, as of the records that were read. Not safe to share between threads."""

    closings: dict[str, Closing] = field(default_factory=dict)
    series: dict[str, int] = field(default_factory=dict)
    voided: dict[str, str] = field(default_factory=dict)  # numbers of invoices, and of their credit notes

    def closed_until(self, tenant_id: str) -> datetime | None:
        """Up to where a tenant's periods are closed; None: none is."""
        closing = self.closings.get(tenant_id)
        return closing.until if closing is not None else None

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take over a record. Raises ValueError where it is none of this version's."""
        text = (key or b"").decode()
        if value is None:
            self.closings.pop(text.removeprefix(TENANT), None)
        elif text.startswith(TENANT):
            found = read_closing(value)
            self.closings[found.tenant_id] = found
        elif text.startswith(SERIES):
            series = read_series(value)
            self.series[series.kind] = series.last
        elif text.startswith(VOID):
            voided = read_voided(value)
            self.voided[voided.number] = voided.note


class AlreadyVoidError(MeterlineError):
    """An invoice is taken back once."""

    def __init__(self, number: str, note: str) -> None:
        super().__init__(f"invoice {number} is void already: credit note {note} took it back")


class InvoiceLedger:
    """The invoices of one installation, to be written. For one thread; ``prefixes`` begin the numbers of a kind."""

    def __init__(self, kafka: KafkaSettings, log: AuditLog, prefixes: dict[DocumentKind, str]) -> None:
        self._kafka = kafka
        self._audit = log
        self._prefixes = prefixes
        self._log: KafkaLog | None = None
        self._state = State()

    def state(self) -> State:
        """How far billing has come, up to the end of the topic.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        state = State()
        with closing(self._open()) as log:
            for record in log.read_to_end():
                state.apply(record.key, record.value)
        return state

    def closed_until(self, tenant_id: str) -> datetime | None:
        """As ``State.closed_until``, for who decides on a change with the turn of the same audit log taken.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        return self._current().closed_until(tenant_id)

    def close_periods(
        self, periods: Sequence[Closed], drafts: Callable[[Sequence[Invoice]], Iterable[Draft]]
    ) -> list[Invoice]:
        """Close them, all or none, but for those that are closed by now; the invoices that were written, numbered.

        ``drafts`` are what the audit log is to say of the invoices.

        Raises:
            UnavailableError: Kafka does not answer; whether they were written is to be read.
        """
        written: list[Invoice] = []

        def decide() -> Decided:
            written.clear()
            state = self._current()
            writes: list[Write] = []
            last = state.series.get(DocumentKind.INVOICE, 0)
            for period in periods:
                before = state.closings.get(period.tenant_id)
                if before is not None and period.end <= before.until:
                    continue
                number = before.number if before is not None else ""
                if period.invoice is not None:
                    last += 1
                    number = self._number(DocumentKind.INVOICE, last)
                    invoice = msgspec.structs.replace(period.invoice, number=number)
                    written.append(invoice)
                    writes.append(Write(topics.INVOICES, 0, invoice.key, encode_invoice(invoice)))
                since = before.since if before is not None else period.start
                now_closed = Closing(period.tenant_id, since, period.end, number)
                writes.append(Write(topics.CLOSINGS, 0, now_closed.key, encode_closing(now_closed)))
            if written:
                series = Series(DocumentKind.INVOICE, last)
                writes.append(Write(topics.CLOSINGS, 0, series.key, encode_closing(series)))
            return writes, list(drafts(written))

        self._audit.write(decide)
        return written

    def credit(self, note: Invoice, draft: Draft) -> Invoice:
        """Write a credit note for the invoice that it is ``of``, numbered.

        Raises:
            AlreadyVoidError: there is one.
            UnavailableError: Kafka does not answer; whether it was written is to be read.
        """
        written: list[Invoice] = []

        def decide() -> Decided:
            state = self._current()
            if note.of in state.voided:
                raise AlreadyVoidError(note.of, state.voided[note.of])
            last = state.series.get(DocumentKind.CREDIT_NOTE, 0) + 1
            numbered = msgspec.structs.replace(note, number=self._number(DocumentKind.CREDIT_NOTE, last))
            written[:] = [numbered]
            series, voided = Series(DocumentKind.CREDIT_NOTE, last), Voided(note.of, numbered.number)
            return [
                Write(topics.INVOICES, 0, numbered.key, encode_invoice(numbered)),
                Write(topics.CLOSINGS, 0, series.key, encode_closing(series)),
                Write(topics.CLOSINGS, 0, voided.key, encode_closing(voided)),
            ], [draft]

        self._audit.write(decide)
        return written[0]

    def close(self) -> None:
        """Once nothing is written any more."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _number(self, kind: DocumentKind, last: int) -> str:
        return f"{self._prefixes[kind]}{last:06d}"

    def _open(self) -> KafkaLog:
        return KafkaLog(self._kafka.client(), self._kafka.topic(topics.CLOSINGS), 0, timeout=_TIMEOUT)

    def _current(self) -> State:
        """Up to the end of the topic; only what came since the last time is read."""
        if self._log is None:
            self._log, self._state = self._open(), State()
        try:
            for record in self._audit.past_ours(self._log, topics.CLOSINGS):
                self._state.apply(record.key, record.value)
        except UnavailableError:
            self.close()
            raise
        return self._state
