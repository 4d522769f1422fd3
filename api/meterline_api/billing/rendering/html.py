"""An invoice as one page of HTML that needs nothing besides itself: for screens, printers and readers of screens."""

from __future__ import annotations

from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from meterline_api.billing.rendering.sheet import NOBODY, Seller, sheet_of
from meterline_schemas.billing.invoice import Invoice

CONTENT_SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def as_html(invoice: Invoice, seller: Seller = NOBODY, zone: str = "UTC") -> bytes:
    """Days are those of ``zone``. Every text of somebody's is escaped."""
    sheet = sheet_of(invoice, seller, zone)
    return _template().render(sheet=sheet, policy=CONTENT_SECURITY_POLICY).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("meterline_api.billing.rendering", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("invoice.html")
