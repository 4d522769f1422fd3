"""Invoices made of what was used and of what was told before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

import msgspec

from meterline_api.billing.invoices.exchanging import taken_back
from meterline_api.billing.invoices.periods import Due
from meterline_api.billing.invoices.quantities import Cut, Quantities, unit_months
from meterline_api.billing.pricing.bill import Bill, Part, Usage, bill, total_of
from meterline_api.billing.pricing.money import Rounding
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind, Status
from meterline_schemas.catalog import Aggregation, Metric, Tenant

_EVENTS = "/v1/exports/events"

Interval = tuple[datetime, datetime]


class Change(NamedTuple):
    """What became of a line of a closed invoice since: what it comes to now, less all that was told of it."""

    origin: str
    line: Line
    amount: Decimal
    quantity: Decimal


def bill_of(due: Due, used: Mapping[Interval, Quantities], metrics: Mapping[str, Metric], rounding: Rounding) -> Bill:
    """What the period comes to; ``used`` has each of its segments.

    Raises:
        PricingError: it cannot be priced.
    """
    return bill(parts_of(due, used, metrics), rounding)


def parts_of(due: Due, used: Mapping[Interval, Quantities], metrics: Mapping[str, Metric]) -> list[Part]:
    """The segments of a period with what its tenant used in each; ``used`` has each of them."""
    return [_part(due.tenant, segment, used, metrics) for segment in due.segments]


def invoice_of(
    due: Due, found: Bill, changes: Sequence[Change], *, issued_at: datetime, cut: Cut, status: Status
) -> Invoice | None:
    """The document, without a number; None where the tenant was on no plan.

    One that owes nothing has a document too: what comes after its close is an adjustment to that.
    """
    if not due.segments:
        return None
    lines = (*found.lines, *(adjustment(change) for change in changes))
    plan = due.segments[-1].plan
    return Invoice(
        number="",
        kind=DocumentKind.INVOICE,
        tenant_id=due.tenant.id,
        tenant_name=due.tenant.name,
        plan=plan.id,
        currency=plan.currency,
        start=due.start,
        end=due.end,
        lines=lines,
        total=total_of(lines, plan.currency),
        issued_at=issued_at,
        status=status,
        cut={str(partition): offset for partition, offset in cut},
        billing=due.tenant.billing,
    )


def credit_note_of(invoice: Invoice, reason: str, issued_at: datetime) -> Invoice:
    """The document that takes an invoice back: its lines with their amounts negative."""
    lines = tuple(msgspec.structs.replace(line, amount=-line.amount, tiers=()) for line in invoice.lines)
    return msgspec.structs.replace(
        invoice,
        number="",
        kind=DocumentKind.CREDIT_NOTE,
        lines=lines,
        total=total_of(lines, invoice.currency),
        issued_at=issued_at,
        of=invoice.number,
        reason=reason,
        exchange=taken_back(invoice.exchange),
    )


def changes_of(invoice: Invoice, later: Iterable[Invoice], now: Bill) -> list[Change]:
    """What of a closed invoice is different now, and was not told by an adjustment on a later one."""
    told: dict[tuple[str, datetime, datetime], tuple[Decimal, Decimal, Line]] = {}
    adjusted = [line for each in later for line in each.lines if line.origin == invoice.number]
    for line in (*invoice.lines, *adjusted):
        if line.metric and line.kind in (LineKind.USAGE, LineKind.ADJUSTMENT):
            place = (line.metric, line.start, line.end)
            if line.kind is LineKind.ADJUSTMENT and line.origin != invoice.number:
                continue
            amount, quantity, _ = told.get(place, (Decimal(0), Decimal(0), line))
            told[place] = (amount + line.amount, quantity + (line.quantity or Decimal(0)), line)
    found = []
    for line in now.lines:
        if line.kind is not LineKind.USAGE:
            continue
        amount, quantity, _ = told.pop((line.metric, line.start, line.end), (Decimal(0), Decimal(0), line))
        used = line.quantity or Decimal(0)
        if line.amount != amount or used != quantity:
            found.append(Change(invoice.number, line, line.amount - amount, used - quantity))
    for amount, quantity, line in told.values():  # nothing is left of it
        if amount or quantity:
            found.append(Change(invoice.number, line, -amount, -quantity))
    return found


def adjustment(change: Change) -> Line:
    """The line of a later invoice that puts an earlier one right."""
    line = change.line
    return Line(
        kind=LineKind.ADJUSTMENT,
        amount=change.amount,
        start=line.start,
        end=line.end,
        plan=line.plan,
        metric=line.metric,
        name=line.name,
        description=f"usage that came after invoice {change.origin} was closed",
        unit=line.unit,
        quantity=change.quantity,
        origin=change.origin,
        events=line.events,
    )


def events_of(tenant_id: str, metric: str, start: datetime, end: datetime) -> str:
    """Where the events behind a line are listed."""
    return f"{_EVENTS}?tenant_id={quote_plus(tenant_id)}&{_asked(metric, start, end)}"


def _part(tenant: Tenant, segment: Segment, used: Mapping[Interval, Quantities], metrics: Mapping[str, Metric]) -> Part:
    found: dict[str, Usage] = {}
    for metric, quantity in used[segment.start, segment.end].get(tenant.id, {}).items():
        known = metrics.get(metric)
        gauge = known is not None and known.aggregation is Aggregation.TIME_WEIGHTED
        months = None
        if gauge:
            period = segment.plan.period
            months = unit_months(quantity, segment.start, tenant.time_zone, tenant.billing_anchor, period)
        found[metric] = Usage(
            quantity,
            months,
            known.unit if known is not None else "",
            events_of(tenant.id, metric, segment.start, segment.end),
        )
    return segment, found


@lru_cache(1000)  # the same for very many tenants
def _asked(metric: str, start: datetime, end: datetime) -> str:
    return urlencode({"metric": metric, "from": _text(start), "to": _text(end)})


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
