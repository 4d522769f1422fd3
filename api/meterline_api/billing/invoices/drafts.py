"""Drafts: what the open period of a tenant comes to so far. Nothing is kept."""

from __future__ import annotations

from datetime import datetime

from meterline_api.billing.invoices.document import bill_of, invoice_of
from meterline_api.billing.invoices.exchanging import in_reporting_currency
from meterline_api.billing.invoices.periods import Due, invoiced, period_at, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import Tables, used
from meterline_api.billing.pricing.bill import Bill
from meterline_api.billing.settings import InvoiceSettings
from meterline_schemas.billing.invoice import Invoice, Status
from meterline_schemas.catalog import Book, TenantPlan


async def priced(
    tables: Tables, book: Book, tenant_id: str, at: datetime, settings: InvoiceSettings, on: TenantPlan | None = None
) -> tuple[Due, Bill] | None:
    """The period of a tenant that ``at`` lies in, and what it comes to by the totals; None: it is on no plan then.

    ``on``: as if it were on these plans.

    Raises:
        PricingError: it cannot be priced.
        UnavailableError: ClickHouse does not answer.
    """
    due = period_at(tenant_of(book, tenant_id), on or book.tenant_plan(tenant_id), plans_of(book), at)
    if due is None:
        return None
    found = {
        (segment.start, segment.end): await used(tables, book.metrics, [tenant_id], segment.start, segment.end, None)
        for segment in due.segments
    }
    return due, bill_of(due, found, book.metrics, settings.rounding)


async def draft(tables: Tables, book: Book, tenant_id: str, at: datetime, settings: InvoiceSettings) -> Invoice | None:
    """The invoice of the period that ``at`` lies in, as it would be if nothing more were used.

    Raises what ``priced`` raises.
    """
    on = invoiced(tenant_of(book, tenant_id), book.tenant_plan(tenant_id))
    found = await priced(tables, book, tenant_id, at, settings, on)
    if found is None:
        return None
    due, bill = found
    made = invoice_of(due, bill, [], issued_at=at.replace(microsecond=0), cut=(), status=Status.DRAFT)
    return None if made is None else in_reporting_currency(made, settings)
