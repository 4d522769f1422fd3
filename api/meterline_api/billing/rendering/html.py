"""An invoice as one page of HTML that needs nothing besides itself: for screens, printers and readers of screens."""

from __future__ import annotations

from typing import Final

from meterline_api.billing.rendering.sheet import NOBODY, Seller, sheet_of
from meterline_api.billing.rendering.templates import template
from meterline_schemas.billing.invoice import Invoice

_PACKAGE: Final = "meterline_api.billing.rendering"
CONTENT_SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def as_html(invoice: Invoice, seller: Seller = NOBODY, zone: str = "UTC") -> bytes:
    """Days are those of ``zone``. Every text of somebody's is escaped."""
    sheet = sheet_of(invoice, seller, zone)
    return template(_PACKAGE, "invoice.html").render(sheet=sheet, policy=CONTENT_SECURITY_POLICY).encode()
