"""Closing what has ended: a walk over all tenants, chunk by chunk, that may be begun again at any time.

1. the cut: where ``usage.events`` ends; everything before it must be in ClickHouse
2. the periods that ended, and their grace with them, and are not closed (``dues``)
3. for each chunk of tenants: what they used, of the raw events before the cut. It must equal the totals, else the
   tenant's period stays open and is told (``comparing``)
4. what came to their closed periods since, as adjustments (``changes``)
5. documents, numbered and written in one transaction with how far each tenant is closed (``ledger``)

Whatever ends it, a chunk is closed or it is not: whoever goes on finds what is open by the ledger. Between the steps
the event loop is free; what takes long is done in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from meterline_api.billing.invoices.changes import Changes, LookingBack
from meterline_api.billing.invoices.comparing import differing
from meterline_api.billing.invoices.document import Change, Interval, bill_of, invoice_of
from meterline_api.billing.invoices.dues import Dues
from meterline_api.billing.invoices.exchanging import in_reporting_currency
from meterline_api.billing.invoices.ledger import Closed, InvoiceLedger
from meterline_api.billing.invoices.periods import Due
from meterline_api.billing.invoices.quantities import Cut, Quantities, Tables, in_requests, of_segments
from meterline_api.billing.invoices.store import Store
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.settings import InvoiceSettings
from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.invoice import Invoice, Status
from meterline_schemas.catalog import Book, Tenant
from meterline_schemas.catalog.tenant import Billing

_PATIENCE: Final = 60.0  # seconds until everything sent is in ClickHouse
_SOON: Final = 2.0  # the same while somebody waits for an answer


@dataclass
class Closings:
    """What a walk came to so far. ``problems`` has a sentence for each tenant whose period stays open."""

    tenants: int = 0  # with a period to be closed when it began
    invoices: int = 0
    without: int = 0  # periods that were closed and have nothing to invoice
    adjustments: int = 0
    problems: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)  # tenants whose earlier periods were looked at: the cut is the same


async def _nobody_waits(_found: Closings) -> None: ...


class Closer:
    """``book`` gives the catalog, ``cut`` where everything is in ClickHouse, for which it waits so many seconds."""

    def __init__(
        self,
        tables: Tables,
        ledger: InvoiceLedger,
        book: Callable[[], Book],
        cut: Callable[[float], Awaitable[Cut]],
        settings: InvoiceSettings,
    ) -> None:
        self.store = Store(tables)
        self._back = LookingBack(tables, self.store, settings.rounding)
        self._tables = tables
        self._ledger = ledger
        self._book = book
        self._cut = cut
        self._settings = settings

    async def close(
        self,
        now: datetime,
        author: Author,
        *,
        dry: bool = False,
        progress: Callable[[Closings], Awaitable[None]] = _nobody_waits,
    ) -> Closings:
        """Close every period that ended before ``now`` less the grace. ``progress`` is awaited before each chunk.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer; what was closed is closed.
        """
        found = Closings()
        book = self._book()
        closings = (await asyncio.to_thread(self._ledger.state)).closings
        cut = await self._cut(_PATIENCE)
        dues = Dues(book, closings, now - self._settings.grace, found.problems)
        found.tenants = await asyncio.to_thread(dues.find)
        chunks = dues.chunks(self._settings.chunk)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            await progress(found)
            periods = await self._priced(chunk, book, closings, cut, found)
            made = [period.invoice for period in periods if period.invoice is not None]
            if periods and not dry:
                made = await asyncio.to_thread(self._ledger.close_periods, periods, lambda all: _drafts(all, author))
            found.invoices += len(made)
            found.without += len(periods) - len(made)
            found.adjustments += sum(bool(line.origin) for invoice in made for line in invoice.lines)
            closed = {period.tenant_id for period in periods}
            found.told |= closed
            await asyncio.to_thread(dues.closed, [due for due in chunk if due.tenant.id in closed])
        return found

    async def changes(self, tenants: Sequence[str] | None = None) -> list[Change]:
        """What of closed invoices is different now, and on no later one yet.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer.
        """
        book = self._book()
        closings = (await asyncio.to_thread(self._ledger.state)).closings
        cut = await self._cut(_SOON)
        found: list[Change] = []
        for ids in in_requests(sorted(closings if tenants is None else {*tenants} & {*closings})):
            until = {id: closings[id].until for id in ids}
            by_tenant = (await self._back.changes(until, book, closings, cut)).found
            found += [change for id in ids for change in by_tenant.get(id, [])]
        return found

    async def _priced(
        self, chunk: Sequence[Due], book: Book, closings: Mapping[str, Closing], cut: Cut, found: Closings
    ) -> list[Closed]:
        """The periods of a chunk that can be closed, with their documents."""
        quantities = await of_segments(self._tables, chunk, book.metrics, cut)
        unequal = await differing(self._tables, chunk, book.metrics, quantities, cut)
        new = {due.tenant.id: due.start for due in chunk if due.tenant.id not in found.told}
        changes = await self._back.changes(new, book, closings, cut)
        for problems in (unequal, changes.unknown):
            found.problems += [problems[id] for id in sorted(problems)]
        good = [due for due in chunk if due.tenant.id not in {*unequal, *changes.unknown}]
        periods, problems_of_prices = await asyncio.to_thread(self._documents, good, book, quantities, changes, cut)
        found.problems += problems_of_prices
        return periods

    def _documents(
        self, dues: Sequence[Due], book: Book, quantities: Mapping[Interval, Quantities], changes: Changes, cut: Cut
    ) -> tuple[list[Closed], list[str]]:
        issued_at = datetime.now(UTC).replace(microsecond=0)
        periods: list[Closed] = []
        problems: list[str] = []
        for due in dues:
            try:
                invoice = None
                if _is_invoiced(due.tenant):
                    priced = bill_of(due, quantities, book.metrics, self._settings.rounding)
                    told = changes.found.get(due.tenant.id, [])
                    invoice = invoice_of(due, priced, told, issued_at=issued_at, cut=cut, status=Status.CLOSED)
                    if invoice is not None:
                        invoice = in_reporting_currency(invoice, self._settings)
            except PricingError as error:
                problems.append(f"tenant {due.tenant.id!r} is not invoiced: {error}")
                continue
            periods.append(Closed(due.tenant.id, due.start, due.until, invoice))
        return periods, problems


def _is_invoiced(tenant: Tenant) -> bool:
    return not tenant.excluded and tenant.billing is not Billing.NONE


def _drafts(invoices: Sequence[Invoice], author: Author) -> list[Draft]:
    """What the audit log says of invoices that were closed."""
    return [
        Draft(
            author=author,
            action="billing.invoice.closed",
            resource_type="invoice",
            resource_id=invoice.number,
            tenant_id=invoice.tenant_id,
            details={
                "start": invoice.start.isoformat(),
                "end": invoice.end.isoformat(),
                "total": str(invoice.total),
                "currency": invoice.currency,
            },
        )
        for invoice in invoices
    ]
