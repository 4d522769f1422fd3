"""Looking back at closed periods: what came to them since, and is on no later invoice yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from meterline_api.billing.invoices.document import Change, Interval, bill_of, changes_of
from meterline_api.billing.invoices.periods import Due, invoiced, period_at, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import Cut, Quantities, Tables, of_segments
from meterline_api.billing.invoices.store import Store
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.pricing.money import Rounding
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.invoice import Invoice, Status
from meterline_schemas.catalog import Book, Plan, Tenant, TenantPlan


class Changes(NamedTuple):
    """By tenant what came to its closed periods; ``unknown`` says of whom that cannot be said yet, and why."""

    found: dict[str, list[Change]]
    unknown: dict[str, str]


class PeriodChangedError(PricingError):
    """A closed period is not the tenant's any more: its time zone, billing anchor or plan was changed since."""

    def __init__(self, number: str) -> None:
        super().__init__(
            f"the period of invoice {number} does not follow from the tenant's plan, time zone and billing anchor "
            "any more; put them back as they were then"
        )


class LookingBack:
    """Only at tenants with events behind the cut of their last invoice, and of those only from where such lie."""

    def __init__(self, tables: Tables, store: Store, rounding: Rounding) -> None:
        self._tables = tables
        self._store = store
        self._rounding = rounding

    async def changes(
        self, until: Mapping[str, datetime], book: Book, closings: Mapping[str, Closing], cut: Cut
    ) -> Changes:
        """What came to the invoices of tenants that end at or before ``until``, of events before ``cut``.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        changes = Changes({}, {})
        before = {id: closings[id].number for id in until if id in closings and closings[id].number}
        if not before:
            return changes
        cuts = await self._store.cuts(before)
        for id in before.keys() - cuts.keys():
            changes.unknown[id] = f"tenant {id!r}: invoice {before[id]} is not in ClickHouse yet; it is tried again"
        since = await self._late(cuts, until)
        periods = await self._periods(since, until, book, changes)
        dues = [due for those in periods.values() for _number, due in those]
        quantities = await of_segments(self._tables, dues, book.metrics, cut)
        for id, those in periods.items():
            try:
                changes.found[id] = [each for one in those for each in self._told(*one, quantities, book)]
            except PricingError as error:
                changes.unknown[id] = _no_price(id, error)
        return changes

    async def _late(self, cuts: Mapping[str, Cut], until: Mapping[str, datetime]) -> dict[str, datetime]:
        """From where on tenants have events behind their cuts, of those that do."""
        alike: dict[tuple[Cut, datetime], list[str]] = defaultdict(list)
        for id, cut in cuts.items():
            alike[cut, until[id]].append(id)
        found: dict[str, datetime] = {}
        for (cut, end), ids in alike.items():
            found |= await self._store.first_events_after(sorted(ids), end, cut)
        return found

    async def _periods(
        self, since: Mapping[str, datetime], until: Mapping[str, datetime], book: Book, changes: Changes
    ) -> dict[str, list[tuple[Sequence[Invoice], Due]]]:
        """By tenant each closed period that may have changed, with its invoice and those that came after it."""
        found: dict[str, list[tuple[Sequence[Invoice], Due]]] = {}
        plans = plans_of(book)
        for id, invoices in (await self._store.of_tenants(sorted(since))).items():
            tenant = tenant_of(book, id)
            on = invoiced(tenant, book.tenant_plan(id))
            those: list[tuple[Sequence[Invoice], Due]] = []
            try:
                for number, invoice in enumerate(invoices):
                    if not since[id] < invoice.end <= until[id] or invoice.status is Status.VOID:
                        continue
                    those.append((invoices[number:], due_of(invoice, tenant, on, plans)))
            except PricingError as error:
                changes.unknown[id] = _no_price(id, error)
                continue
            found[id] = those
        return found

    def _told(
        self, invoices: Sequence[Invoice], due: Due, quantities: Mapping[Interval, Quantities], book: Book
    ) -> list[Change]:
        now = bill_of(due, quantities, book.metrics, self._rounding)
        return changes_of(invoices[0], invoices[1:], now)


def due_of(invoice: Invoice, tenant: Tenant, on: TenantPlan, plans: Mapping[str, Plan]) -> Due:
    """The invoice's period as it is now.

    Raises:
        PeriodChangedError: the tenant has none from its start to its end any more.
        UnknownPlanError: the tenant is on a plan that is not in ``plans``.
    """
    inside = (span.start for span in on.spans if invoice.start < span.start < invoice.end)
    for at in (invoice.start, *inside):  # what it began on may be no plan, or one that is invoiced by other periods
        due = period_at(tenant, on, plans, at)
        if due is not None and (due.start, due.end) == (invoice.start, invoice.end):
            return due
    raise PeriodChangedError(invoice.number)


def _no_price(id: str, error: PricingError) -> str:
    return f"tenant {id!r}: what came after its periods were closed has no price: {error}"
