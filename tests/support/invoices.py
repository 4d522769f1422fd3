"""Records of invoices, as they are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind, encode

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def invoice(tenant_id: str, number: str, name: str = "", amount: str = "9.90") -> tuple[bytes, bytes]:
    """Key and value of an invoice over one base fee."""
    line = Line(LineKind.BASE_FEE, Decimal(amount), START, END, plan=f"plan-of-{tenant_id}")
    found = Invoice(
        number=number,
        kind=DocumentKind.INVOICE,
        tenant_id=tenant_id,
        tenant_name=name,
        plan=line.plan,
        currency="EUR",
        start=START,
        end=END,
        lines=(line,),
        total=line.amount,
        issued_at=END,
    )
    return found.key, encode(found)
