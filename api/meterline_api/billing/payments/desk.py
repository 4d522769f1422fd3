"""What becomes of an event of Stripe's, once its signature is verified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from meterline_api.billing.payments.events import (
    INVOICE_EVENTS,
    REPORT_EVENTS,
    Event,
    EventError,
    Seen,
    fetched_invoice,
    merged,
    read_invoice,
    report_of,
    unsure,
)
from meterline_api.billing.payments.ledger import PaymentLedger
from meterline_api.billing.payments.notices import refused
from meterline_api.billing.payments.together import Together
from meterline_api.billing.stripe.client import Stripe
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.terms import Terms
from meterline_api.catalog import Catalog
from meterline_api.storage.thread import in_thread
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.payment import Report, StripeInvoice
from meterline_schemas.billing.push import Push
from meterline_schemas.errors import MeterlineError, UnavailableError
from meterline_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

_THIN: Final = "v2.core.events"


class Outcome(StrEnum):
    """Closed. ``known``: it tells nothing new; ``ignored``: it is of a type that is of no use here."""

    RECORDED = "recorded"
    KNOWN = "known"
    IGNORED = "ignored"


class Desk:
    """Made once for each process. ``ready``: whether the catalog was read."""

    def __init__(
        self,
        settings: StripeSettings,
        kafka: KafkaSettings,
        audit: AuditLog,
        catalog: Catalog,
        ready: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self._kafka = kafka
        self._audit = audit
        self._catalog = catalog
        self._ready = ready
        self._ledger = PaymentLedger(kafka, audit, lambda: catalog.partitions, self._tenant)
        self._together = Together(self._see)
        self._stripe = Stripe(settings) if settings.configured else None

    async def take(self, event: Event) -> Outcome:
        """On return what it tells is acknowledged by Kafka; taken again it changes nothing.

        Raises:
            EventError: it is not of the form that its type has.
            UnavailableError: Kafka or Stripe does not answer; it may be taken again.
        """
        if event.type not in INVOICE_EVENTS and event.type not in REPORT_EVENTS:
            return Outcome.IGNORED
        if not self._ready():
            raise UnavailableError("the catalog has not been read yet; send it again in a moment")
        if event.type in REPORT_EVENTS:
            new = await in_thread(lambda: self._report(event))
        else:
            seen = read_invoice(event)
            new = await self._together.put(seen)
        return Outcome.RECORDED if new else Outcome.KNOWN

    def close(self) -> None:
        self._ledger.close()

    async def _see(self, seen: Sequence[Seen]) -> Sequence[bool]:
        return await in_thread(lambda: self._ledger.see([self._certain(each) for each in seen]))

    def _certain(self, seen: Seen) -> StripeInvoice:
        """As the event has it or, where that leaves something open, as Stripe has it now."""
        invoice = seen.invoice
        known = self._ledger.known(invoice.id)
        numbers = invoice.numbers or (known.numbers if known is not None else ())
        if self._stripe is None or not (unsure(known, invoice) or (seen.cut and not numbers)):
            return invoice
        try:
            now = fetched_invoice(self._stripe.one("invoices", invoice.id), datetime.now(UTC)).invoice
        except (MeterlineError, EventError) as error:
            log.warning(
                "invoice %s is taken as the event has it, since Stripe was asked in vain: %s", invoice.id, error
            )
            return invoice
        return merged(invoice, now)

    def _report(self, event: Event) -> bool:
        if self._ledger.has(event.id):
            return False
        if self._stripe is None:
            raise UnavailableError("METERLINE_STRIPE_KEY is not set: without it the event's reasons cannot be read")
        try:
            report = report_of(self._stripe.one(_THIN, event.id), event.type)
        except UnavailableError:
            raise
        except MeterlineError as error:
            raise UnavailableError(f"the event's reasons cannot be read: {error}") from None
        pushes = self._refuse(report)
        terms = Terms(self._catalog.book)
        meter = terms.by_id.get(report.meter)
        metric = meter.metric if meter is not None else ", ".join(sorted({push.metric for push in pushes}))
        return self._ledger.report(report, refused(report, metric, pushes))

    def _refuse(self, report: Report) -> list[Push]:
        why = {
            identifier: f"{reason.code}: {reason.message or 'Stripe took it and does not count it'}"
            for reason in report.reasons
            for identifier in reason.identifiers
        }
        if not why:
            return []
        path = None if self.settings.ledger is None else str(self.settings.ledger)
        with closing(Ledger(self._kafka, self._audit, path)) as ledger:
            return ledger.reject(why, report.event, datetime.now(UTC))

    def _tenant(self, invoice: StripeInvoice) -> str:
        return self._catalog.book.tenant_of_customer(invoice.customer) or ""
