"""Writing billing.payments: what an event tells is put to what is known, one writer at a time (``audit.log``).

The invoice, how the payment of ours stands that it collects, and the notification of a failure are one commit: whoever
is told of it finds it, and nobody is told twice. An event that tells nothing new writes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from meterline_api.billing.payments.events import merged
from meterline_api.billing.payments.index import Index
from meterline_api.billing.payments.notices import failure
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Decided, Write
from meterline_schemas.billing.invoice import encode as encode_payment
from meterline_schemas.billing.payment import INVOICE, REPORT, Report, StripeInvoice, encode, read_stripe_invoice
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.notification import Notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import KafkaSettings

_TIMEOUT: Final = 30.0

Tenant = Callable[[StripeInvoice], str]
"""The id of the tenant that an invoice is of; empty where it is not known."""


class PaymentLedger:
    """Safe from several threads. ``partitions`` is how many the topic of notifications has."""

    def __init__(self, kafka: KafkaSettings, audit: AuditLog, partitions: Callable[[], int], tenant: Tenant) -> None:
        self._kafka = kafka
        self._audit = audit
        self._partitions = partitions
        self._tenant = tenant
        self._index = Index()
        self._log: KafkaLog | None = None
        self._lock = threading.Lock()

    def known(self, id: str) -> StripeInvoice | None:
        """An invoice as it was read last: another process may have written since."""
        with self._lock:
            return self._find(id)

    def has(self, report: str) -> bool:
        """Whether an event's report was written, as far as was read."""
        with self._lock:
            return self._index.find(report_key(report)) is not None

    def see(self, invoices: Sequence[StripeInvoice]) -> list[bool]:
        """Take what events tell; of each whether that was new. On return all of it is committed.

        Raises:
            UnavailableError: Kafka does not answer; whether it was written is not known, and it may be repeated.
        """
        news: list[bool] = []

        def decide() -> Decided:
            self._catch_up()
            news.clear()
            now = dict[str, StripeInvoice]()
            records: list[Write] = []
            for each in invoices:
                before = now.get(each.id) or self._find(each.id)
                invoice = msgspec.structs.replace(each, tenant_id=self._tenant(each))
                after = merged(before, invoice)
                told = failure(invoice, after)
                if told is not None:
                    after = msgspec.structs.replace(after, told=tuple(sorted({*after.told, invoice.failed})))
                    records.append(self._notice(told))
                news.append(after != before)
                if after != before:
                    now[each.id] = after
                    was = () if before is None else before.payments()
                    records += [
                        Write(topics.INVOICES, 0, payment.key, encode_payment(payment))
                        for payment in after.payments()
                        if payment not in was
                    ]
            records += [Write(topics.PAYMENTS, 0, each.key, encode(each)) for each in now.values()]
            return records, ()

        self._write(decide)
        return news

    def report(self, report: Report, notification: Notification) -> bool:
        """Keep a report and tell of it; False where that was done before. Raises as ``see``."""
        new = [False]

        def decide() -> Decided:
            self._catch_up()
            new[0] = self._index.find(report.key) is None
            written = [Write(topics.PAYMENTS, 0, report.key, encode(report)), self._notice(notification)]
            return (written if new[0] else []), ()

        self._write(decide)
        return new[0]

    def close(self) -> None:
        with self._lock:
            self._let_go()
            self._index.close()

    def _notice(self, told: Notification) -> Write:
        partition = partition_of(told.tenant_id, self._partitions())
        return Write(topics.NOTIFICATIONS, partition, b"", told.encode())

    def _find(self, id: str) -> StripeInvoice | None:
        found = self._index.find(f"{INVOICE}{id}".encode())
        return None if found is None else read_stripe_invoice(found)

    def _write(self, decide: Callable[[], Decided]) -> None:
        with self._lock:
            self._audit.write(decide)

    def _catch_up(self) -> None:
        if self._log is None:
            self._index.clear()
            self._log = KafkaLog(self._kafka.client(), self._kafka.topic(topics.PAYMENTS), 0, timeout=_TIMEOUT)
        try:
            self._index.take(self._audit.past_ours(self._log, topics.PAYMENTS))
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def report_key(event: str) -> bytes:
    return f"{REPORT}{event}".encode()
