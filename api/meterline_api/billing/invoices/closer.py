"""Closing what has ended: a walk over all tenants, chunk by chunk, that may be begun again at any time.

1. the cut: where ``usage.events`` ends; everything before it must be in ClickHouse
2. the periods that ended, and their grace with them, and are not closed
3. for each chunk of tenants: what they used, of the raw events before the cut. It must equal the totals, else the
   tenant's period stays open and is told
4. what came to their closed periods since, as adjustments
5. documents, numbered and written in one transaction with how far each tenant is closed (``ledger``)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from meterline_api.billing.invoices.document import Change, Interval, bill_of, changes_of, invoice_of
from meterline_api.billing.invoices.ledger import Closed, InvoiceLedger
from meterline_api.billing.invoices.periods import Due, ended, period_at, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import Cut, Quantities, Tables, differences, used
from meterline_api.billing.invoices.store import Store
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.settings import InvoiceSettings
from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.invoice import Invoice, Status
from meterline_schemas.catalog import Book, Tenant, TenantPlan
from meterline_schemas.catalog.tenant import Billing

_TENANTS: Final = 1000  # of a chunk
_BYTES: Final = 64 * 1024  # of their ids: they travel in the address of a request
_ALL: Final = 2**63 - 1
_PATIENCE: Final = 60.0  # seconds until everything sent is in ClickHouse
_SOON: Final = 2.0  # the same while somebody waits for an answer


@dataclass
class Closings:
    """What a walk came to. ``problems`` has a sentence for each tenant whose period stays open."""

    invoices: int = 0
    without: int = 0  # periods that were closed and have nothing to invoice
    adjustments: int = 0
    problems: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)  # tenants whose earlier periods were looked at: the cut is the same


class Changes(NamedTuple):
    """By tenant what came to its closed periods; ``unknown`` says of whom that cannot be said yet, and why."""

    found: dict[str, list[Change]]
    unknown: dict[str, str]


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
        heartbeat: Callable[[], Awaitable[None]] | None = None,
    ) -> Closings:
        """Close every period that ended before ``now`` less the grace.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer; what was closed is closed.
        """
        found = Closings()
        book = self._book()
        state = await asyncio.to_thread(self._ledger.state)
        cut = await self._cut(_PATIENCE)
        queue = dict(_open(book, state.closings, now - self._settings.grace, found.problems))
        while queue:
            for chunk in _chunks([dues[0] for dues in queue.values()]):
                if heartbeat is not None:
                    await heartbeat()
                done = await self._close_chunk(chunk, book, state.closings, cut, author, found, dry=dry)
                for due in chunk:
                    left = queue[due.tenant.id][1:] if due.tenant.id in done else []
                    if left:
                        queue[due.tenant.id] = left
                    else:
                        del queue[due.tenant.id]
        return found

    async def changes(self, tenants: Sequence[str] | None = None) -> list[Change]:
        """What of closed invoices is different now, and on no later one yet.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer.
        """
        book = self._book()
        state = await asyncio.to_thread(self._ledger.state)
        cut = await self._cut(_SOON)
        chosen = sorted(state.closings if tenants is None else {*tenants} & {*state.closings})
        found: list[Change] = []
        for start in range(0, len(chosen), _TENANTS):
            part = chosen[start : start + _TENANTS]
            until = {id: state.closings[id].until for id in part}
            by_tenant = (await self._changes(until, book, state.closings, cut)).found
            found += [change for id in part for change in by_tenant.get(id, [])]
        return found

    async def _close_chunk(
        self,
        chunk: Sequence[Due],
        book: Book,
        closings: dict[str, Closing],
        cut: Cut,
        author: Author,
        found: Closings,
        *,
        dry: bool,
    ) -> set[str]:
        """The tenants whose period was closed."""
        quantities = await self._quantities(chunk, book, cut)
        differing = await self._differing(chunk, book, quantities, cut)
        found.problems += [differing[id] for id in sorted(differing)]
        new = {due.tenant.id: due.start for due in chunk if due.tenant.id not in found.told}
        changes = await self._changes(new, book, closings, cut)
        found.problems += [changes.unknown[id] for id in sorted(changes.unknown)]
        good = [due for due in chunk if due.tenant.id not in {*differing, *changes.unknown}]
        issued_at = datetime.now(UTC).replace(microsecond=0)
        periods: list[Closed] = []
        for due in good:
            try:
                invoice = None
                if _is_invoiced(due.tenant):
                    priced = bill_of(due, quantities, book.metrics, self._settings.rounding)
                    told = changes.found.get(due.tenant.id, [])
                    invoice = invoice_of(due, priced, told, issued_at=issued_at, cut=cut, status=Status.CLOSED)
            except PricingError as error:
                found.problems.append(f"tenant {due.tenant.id!r} is not invoiced: {error}")
                continue
            periods.append(Closed(due.tenant.id, due.start, due.until, invoice))
        made = [period.invoice for period in periods if period.invoice is not None]
        if not dry and periods:
            made = await asyncio.to_thread(
                self._ledger.close_periods, periods, lambda invoices: [_draft(each, author) for each in invoices]
            )
            numbers = {invoice.tenant_id: invoice.number for invoice in made}
            for period in periods:
                before = closings.get(period.tenant_id)
                number = numbers.get(period.tenant_id) or (before.number if before is not None else "")
                since = before.since if before is not None else period.start
                closings[period.tenant_id] = Closing(period.tenant_id, since, period.end, number)
        found.invoices += len(made)
        found.without += len(periods) - len(made)
        found.adjustments += sum(bool(line.origin) for invoice in made for line in invoice.lines)
        found.told |= {period.tenant_id for period in periods}
        return {period.tenant_id for period in periods}

    async def _quantities(self, dues: Sequence[Due], book: Book, cut: Cut) -> dict[Interval, Quantities]:
        """Of each segment, for the tenants that have it."""
        tenants: dict[Interval, set[str]] = defaultdict(set)
        for due in dues:
            for segment in due.segments:
                tenants[segment.start, segment.end].add(due.tenant.id)
        return {
            interval: await used(self._tables, book.metrics, sorted(ids), *interval, cut)
            for interval, ids in tenants.items()
        }

    async def _differing(
        self, dues: Sequence[Due], book: Book, quantities: Mapping[Interval, Quantities], cut: Cut
    ) -> dict[str, str]:
        """Whose totals are not those of their events, and how."""
        by_period: dict[Interval, list[Due]] = defaultdict(list)
        for due in dues:
            by_period[due.start, due.end].append(due)
        found: dict[str, str] = {}
        metrics = [key for key, metric in book.metrics.items() if not metric.aggregation.from_events]
        for (start, end), those in by_period.items():
            ids = [due.tenant.id for due in those]
            raw: Quantities = quantities.get((start, end), {})
            alone = {due.tenant.id for due in those if [(s.start, s.end) for s in due.segments] != [(start, end)]}
            if alone:
                raw = {**raw, **await used(self._tables, book.metrics, sorted(alone), start, end, cut)}
            totals = await used(self._tables, book.metrics, ids, start, end, None)
            suspects = sorted({tenant_id for tenant_id, *_ in differences(raw, totals, metrics)} & {*ids})
            if not suspects:
                continue
            # what came behind the cut is in the totals alone: look at both once more, without it
            everything = tuple((partition, _ALL) for partition, _offset in cut)
            raw = await used(self._tables, book.metrics, suspects, start, end, everything)
            totals = await used(self._tables, book.metrics, suspects, start, end, None)
            for tenant_id, metric, events, total in differences(raw, totals, metrics):
                found.setdefault(
                    tenant_id,
                    f"tenant {tenant_id!r} is not invoiced for {start:%Y-%m-%d}: its events of {metric} come to "
                    f"{events} and its totals to {total}; `meterline reconcile` says which is wrong",
                )
        return found

    async def _changes(
        self,
        until: Mapping[str, datetime],
        book: Book,
        closings: Mapping[str, Closing],
        cut: Cut,
    ) -> Changes:
        """What came to the invoices of tenants that end at or before ``until``."""
        changes = Changes({}, {})
        before = {id: closings[id].number for id in until if id in closings and closings[id].number}
        if not before:
            return changes
        invoices = await self.store.of_tenants(sorted(before))
        for id, number in before.items():
            if number not in {invoice.number for invoice in invoices.get(id, [])}:
                changes.unknown[id] = f"tenant {id!r}: invoice {number} is not in ClickHouse yet; it is tried again"
        known = sorted({*invoices} - {*changes.unknown})
        if not known:
            return changes
        cuts = [_cut_of(invoices[id][-1]) for id in known]
        least = {partition: min(one.get(partition, 0) for one in cuts) for one in cuts for partition in one}
        latest = max(until[id] for id in known)
        for id in sorted(await self.store.with_events_after(known, latest, tuple(sorted(least.items())))):
            try:
                changes.found[id] = await self._changes_of(id, invoices[id], until[id], book, cut)
            except PricingError as error:
                changes.unknown[id] = f"tenant {id!r}: what came after its periods were closed has no price: {error}"
        return changes

    async def _changes_of(
        self, id: str, invoices: Sequence[Invoice], until: datetime, book: Book, cut: Cut
    ) -> list[Change]:
        tenant = tenant_of(book, id)
        found: list[Change] = []
        for number, invoice in enumerate(invoices):
            if invoice.end > until or invoice.status is Status.VOID:
                continue
            due = period_at(tenant, book.tenant_plan(id), plans_of(book), _within(book.tenant_plan(id), invoice))
            if due is None or (due.start, due.end) != (invoice.start, invoice.end):
                raise PeriodChangedError(invoice.number)
            quantities = await self._quantities([due], book, cut)
            now = bill_of(due, quantities, book.metrics, self._settings.rounding)
            found += changes_of(invoice, invoices[number + 1 :], now)
        return found


class PeriodChangedError(PricingError):
    """A closed period is not the tenant's any more: its time zone, billing anchor or plan was changed since."""

    def __init__(self, number: str) -> None:
        super().__init__(
            f"the period of invoice {number} does not follow from the tenant's plan, time zone and billing anchor "
            "any more; put them back as they were then"
        )


def _within(on: TenantPlan, invoice: Invoice) -> datetime:
    """An instant of the invoice's period at which the tenant was on a plan."""
    if on.at(invoice.start) is not None:
        return invoice.start
    return next((span.start for span in on.spans if invoice.start < span.start < invoice.end), invoice.start)


def _open(
    book: Book, closings: Mapping[str, Closing], now: datetime, problems: list[str]
) -> Iterator[tuple[str, list[Due]]]:
    plans = plans_of(book)
    for on in book.all(TenantPlan):
        tenant = tenant_of(book, on.tenant_id)
        closing = closings.get(on.tenant_id)
        dues: list[Due] = []
        try:
            dues += ended(tenant, on, plans, closing.until if closing is not None else None, now)
        except PricingError as error:
            problems.append(f"tenant {tenant.id!r} is not invoiced: {error}")
        if dues:
            yield tenant.id, dues


def _chunks(dues: Sequence[Due]) -> Iterator[list[Due]]:
    """Of one period each, where they can be."""
    chunk: list[Due] = []
    size = 0
    for due in sorted(dues, key=lambda one: (one.start, one.end, one.tenant.id)):
        if chunk and (
            len(chunk) >= _TENANTS or size > _BYTES or (due.start, due.end) != (chunk[0].start, chunk[0].end)
        ):
            yield chunk
            chunk, size = [], 0
        chunk.append(due)
        size += len(due.tenant.id.encode())
    if chunk:
        yield chunk


def _is_invoiced(tenant: Tenant) -> bool:
    return not tenant.excluded and tenant.billing is not Billing.NONE


def _cut_of(invoice: Invoice) -> dict[int, int]:
    return {int(partition): offset for partition, offset in invoice.cut.items()}


def _draft(invoice: Invoice, author: Author) -> Draft:
    return Draft(
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
