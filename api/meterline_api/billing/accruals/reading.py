"""Accruals of many tenants: what they used, what was invoiced, and how far they are closed, read for a cut-off."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from meterline_api.billing.accruals.accruing import Accrual, Open, accrued, adjusted, unbilled
from meterline_api.billing.invoices.changes import due_of
from meterline_api.billing.invoices.document import bill_of, changes_of
from meterline_api.billing.invoices.periods import invoiced, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import Cut, in_requests, of_segments
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.pricing.errors import PricingError
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.invoice import Invoice, Status
from meterline_schemas.catalog import Billing, Book, Tenant, TenantPlan

_SOON: Final = 2.0  # seconds until what was sent by ``as_of`` is in ClickHouse
_RECENT: Final = timedelta(hours=1)
_REACH: Final = timedelta(days=400)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RECEIVED_AFTER: Final = (
    "SELECT u.kafka_partition, min(u.kafka_offset) FROM usage_events_raw AS u "
    "WHERE u.received_at > fromUnixTimestamp64Milli({as_of:Int64}, 'UTC') "
    "AND u.timestamp >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') "
    "AND u.timestamp < fromUnixTimestamp64Milli({at:Int64}, 'UTC') GROUP BY u.kafka_partition"
)
_COMPLETE: Final = "SELECT kafka_partition, complete_to_offset FROM usage_freshness"


@dataclass
class Accruals:
    """In the order of tenants. ``problems`` has a sentence for each tenant of which it cannot be said."""

    found: list[Accrual] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Frame:
    """What holds for all tenants of a question."""

    book: Book
    at: datetime
    cut: Cut | None
    closings: Mapping[str, Closing]


class AccrualReader:
    """``book`` gives the catalog. Every method raises UnavailableError."""

    def __init__(self, invoices: Invoices, book: Callable[[], Book]) -> None:
        self._tables = invoices.tables
        self._invoices = invoices
        self._book = book

    def tenants(self, among: Sequence[str] | None, after: str = "") -> list[str]:
        """Who was ever on a plan and is invoiced, by id."""
        book = self._book()
        chosen = None if among is None else {*among}
        return [
            on.tenant_id
            for on in book.all(TenantPlan)
            if on.tenant_id > after
            and (chosen is None or on.tenant_id in chosen)
            and _is_invoiced(tenant_of(book, on.tenant_id))
        ]

    async def all(
        self, tenants: Sequence[str] | None, at: datetime, as_of: datetime | None = None
    ) -> AsyncIterator[Accruals]:
        """Chunk by chunk, as ``of``."""
        frame = await self._frame(at, as_of)
        for chunk in in_requests(self.tenants(tenants)):
            yield await self._of(chunk, frame)

    async def of(self, tenants: Sequence[str], at: datetime, as_of: datetime | None = None) -> Accruals:
        """Of some tenants, up to ``at``: by the totals as they are or, with ``as_of``, by the events received by then.

        ``at`` is a whole second and does not lie ahead.
        """
        frame = await self._frame(at, as_of)
        found = Accruals()
        for chunk in in_requests(tenants):
            part = await self._of(chunk, frame)
            found.found += part.found
            found.problems += part.problems
        return found

    async def _frame(self, at: datetime, as_of: datetime | None) -> _Frame:
        cut = None if as_of is None else await self._cut(at, as_of)
        state = await asyncio.to_thread(self._invoices.ledger.state)
        return _Frame(self._book(), at, cut, state.closings)

    async def _cut(self, at: datetime, as_of: datetime) -> Cut:
        """Before which events were received by ``as_of``."""
        if as_of > datetime.now(UTC) - _RECENT:
            await self._invoices.cut(_SOON)
        found = {int(partition): int(offset) for partition, offset in await self._tables.rows(_COMPLETE, {})}
        instants = {"as_of": as_of, "start": max(at - _REACH, _EPOCH), "at": at}
        parameters = {name: (each - _EPOCH) // _MILLISECOND for name, each in instants.items()}
        for partition, offset in await self._tables.rows(_RECEIVED_AFTER, parameters):
            found[int(partition)] = int(offset)
        return tuple(sorted(found.items()))

    async def _of(self, chunk: Sequence[str], frame: _Frame) -> Accruals:
        found = Accruals()
        by_tenant: dict[str, list[Accrual]] = defaultdict(list)
        documents = await self._invoices.closer.store.of_tenants(chunk)
        periods: dict[str, list[Open]] = {}
        for id in chunk:
            tenant, closing = tenant_of(frame.book, id), frame.closings.get(id)
            later = {(each.start, each.end) for each in documents.get(id, []) if each.issued_at > frame.at}
            until = closing.until if closing is not None else None
            on = invoiced(tenant, frame.book.tenant_plan(id))
            try:
                periods[id] = list(unbilled(tenant, on, plans_of(frame.book), frame.at, until, later))
            except PricingError as error:
                found.problems.append(f"tenant {id!r} has no accruals: {error}")
        parts = [each.part for of in periods.values() for each in of]
        quantities = await of_segments(self._tables, parts, frame.book.metrics, frame.cut)
        for id, those in periods.items():
            try:
                for period in those:
                    rounding = self._invoices.settings.rounding
                    by_tenant[id] += accrued(period, quantities, frame.book.metrics, rounding)
            except PricingError as error:
                found.problems.append(f"tenant {id!r} has no accruals: {error}")
                by_tenant[id] = []
        told = {id: [one for one in each if one.issued_at <= frame.at] for id, each in documents.items()}
        for id, since in (await self._changed({id: each for id, each in told.items() if each})).items():
            try:
                by_tenant[id] = await self._adjustments(id, told[id], since, frame) + by_tenant[id]
            except PricingError as error:
                found.problems.append(f"tenant {id!r}: what came to its invoices has no price: {error}")
        for id in chunk:
            found.found += by_tenant.get(id, [])
        return found

    async def _changed(self, told: Mapping[str, Sequence[Invoice]]) -> dict[str, datetime]:
        """Of which tenants any event came behind the cut of their last invoice, and the first instant of such one."""
        if not told:
            return {}
        cuts = [{int(p): offset for p, offset in each[-1].cut.items()} for each in told.values()]
        least = {partition: min(one.get(partition, 0) for one in cuts) for one in cuts for partition in one}
        latest = max(invoice.end for each in told.values() for invoice in each)
        store = self._invoices.closer.store
        return await store.first_events_after(sorted(told), latest, tuple(sorted(least.items())))

    async def _adjustments(self, id: str, invoices: Sequence[Invoice], since: datetime, frame: _Frame) -> list[Accrual]:
        tenant = tenant_of(frame.book, id)
        on = invoiced(tenant, frame.book.tenant_plan(id))
        plans = plans_of(frame.book)
        found: list[Accrual] = []
        for number, invoice in enumerate(invoices):
            if invoice.status is Status.VOID or invoice.end <= since:
                continue
            due = due_of(invoice, tenant, on, plans)
            quantities = await of_segments(self._tables, [due], frame.book.metrics, frame.cut)
            now = bill_of(due, quantities, frame.book.metrics, self._invoices.settings.rounding)
            changes = changes_of(invoice, invoices[number + 1 :], now)
            found += adjusted(tenant, invoice.currency, (invoice.start, invoice.end), changes)
        return found


def _is_invoiced(tenant: Tenant) -> bool:
    return not tenant.excluded and tenant.billing is not Billing.NONE
