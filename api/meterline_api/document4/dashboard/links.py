"""Where the dashboard's buttons lead: to routes that answer a plain link. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from meterline_api.document4.dashboard.board import Link
from meterline_api.document4.forms import Summary
from meterline_schemas.billing.invoice import Invoice, Status

_HOUR: Final = timedelta(hours=1)


def links_of(current: Summary, invoice: Invoice | None) -> tuple[Link, ...]:
    """The month's usage as a file, and the last month's invoice unless there is none, or it was taken back."""
    query = {
        "format": "csv",
        "window": "day",
        "tenant_id": current.company,
        "from": _whole(current.start).isoformat(),
        "to": _whole(current.end + _HOUR - timedelta(microseconds=1)).isoformat(),
    }
    found = [Link("View detailed report", f"/v1/exports/usage?{urlencode(query)}")]
    if invoice is not None and invoice.number and invoice.status is not Status.VOID:
        address = f"/v1/invoices/{quote(invoice.number, safe='')}?format=pdf"
        found.append(Link(f"Download invoice {invoice.number}", address))
    return tuple(found)


def _whole(at: datetime) -> datetime:
    """The UTC hour that has begun: the export takes nothing finer."""
    return at.replace(minute=0, second=0, microsecond=0)
