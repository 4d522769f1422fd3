"""An invoice as examples show it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind

_START, _END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
_LINE: Final = Line(
    LineKind.USAGE,
    Decimal("125.00"),
    _START,
    _END,
    plan="order-management",
    metric="order",
    name="Orders",
    unit="order",
    quantity=Decimal(1250),
    included=Decimal(0),
    rate=Decimal("0.10"),
    per=Decimal(1),
    events="/v1/exports/events?tenant_id=acme&metric=order&from=2026-11-01T00%3A00%3A00Z&to=2026-12-01T00%3A00%3A00Z",
)
SAMPLE: Final = Invoice(
    number="INV-000042",
    kind=DocumentKind.INVOICE,
    tenant_id="acme",
    tenant_name="Acme",
    plan="order-management",
    currency="USD",
    start=_START,
    end=_END,
    lines=(_LINE,),
    total=_LINE.amount,
    issued_at=datetime(2026, 12, 2, 0, 30, tzinfo=UTC),
)
