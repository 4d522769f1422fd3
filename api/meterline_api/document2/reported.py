"""Whether what was used of a feature in a period is at Stripe in full. Pure.

Meters have it day by day, as UTC days are pushed; invoice items have it by the lines of the invoice of the period.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from meterline_api.billing.stripe.days import DayTotal, value_of
from meterline_api.billing.stripe.errors import DayValueError
from meterline_schemas.billing.invoice import Invoice, LineKind
from meterline_schemas.catalog import StripeMeter


def days_of(start: datetime, end: datetime) -> tuple[date, date]:
    """The UTC days ``[first, last)`` of which any part lies in ``[start, end)``."""
    last = (end - timedelta(milliseconds=1)).astimezone(UTC).date()
    return start.astimezone(UTC).date(), last + timedelta(days=1)


def by_meter(
    start: datetime, end: datetime, totals: Iterable[DayTotal], delivered: Mapping[date, int], meter: StripeMeter
) -> bool:
    """Whether the newest values that Stripe took are those of the days of ``[start, end)`` as they are now.

    ``totals`` are of one tenant and metric, as they would be pushed; ``delivered`` the values by day. Stripe has whole
    UTC days: where the period begins or ends within one, all of that day counts.
    """
    first, last = days_of(start, end)
    told = {day: value for day, value in delivered.items() if first <= day < last}
    if not told:
        return False
    used: dict[date, int] = {}
    try:
        for total in totals:
            if first <= total.day < last:
                used[total.day] = value_of(total, meter)
    except DayValueError:
        return False
    return all(used.get(day, 0) == told.get(day, 0) for day in used.keys() | told.keys())


def by_items(
    metric: str,
    invoice: Invoice,
    later: Sequence[Invoice],
    changed: Collection[str],
    there: Mapping[str, Collection[int]],
) -> bool:
    """Whether each line of a metric on the invoice of a period, and of later adjustments to it, that comes to an amount
    is an item at Stripe, and nothing came after them.

    ``later`` are the invoices after it that stand, ``changed`` the metrics of which something is on none of them,
    ``there`` the lines that are items, by the number of the document. Where nothing of the invoice is at Stripe,
    neither is what came to no amount.
    """
    if metric in changed or not there.get(invoice.number):
        return False
    lines = [
        (document.number, place, line)
        for document in (invoice, *later)
        for place, line in enumerate(document.lines, 1)
        if line.metric == metric
        and (
            line.origin == invoice.number
            if line.kind is LineKind.ADJUSTMENT
            else document is invoice and line.kind is LineKind.USAGE
        )
    ]
    return bool(lines) and all(not line.amount or place in there.get(number, ()) for number, place, line in lines)
