"""Invoices to render: the example company, a long one with everything on it, and any that hypothesis makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from meterline_api.billing.rendering.sheet import Seller
from meterline_schemas.billing.invoice import DocumentKind, Exchange, Invoice, Line, LineKind, Status, TierAmount

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
END: Final = datetime(2025, 2, 1, tzinfo=UTC)
ISSUED: Final = datetime(2025, 2, 2, 0, 5, tzinfo=UTC)

SELLER: Final = Seller(
    "Meterline GmbH", ("Ring 1", "1010 Wien", "Austria"), "VAT ATU12345678", "billing@example.com", ("Due in 14 days.",)
)


def usage(metric: str, name: str, quantity: str, rate: str, amount: str, **more: Any) -> Line:
    whole: dict[str, Any] = {
        "kind": LineKind.USAGE,
        "amount": Decimal(amount),
        "start": START,
        "end": END,
        "plan": "optical",
        "metric": metric,
        "name": name,
        "quantity": Decimal(quantity),
        "rate": Decimal(rate) if rate else None,
        "per": Decimal(1),
        **more,
    }
    return Line(**whole)


COMPANY_LINES: Final = (
    Line(LineKind.BASE_FEE, Decimal("199.00"), START, END, plan="optical", name="Base fee"),
    usage("order", "Orders", "1250", "0.1", "125.00", unit="order", description="Per order created and processed"),
    usage("invoice", "Invoices", "980", "0.05", "49.00", unit="invoice", description="Per invoice generated"),
    usage("storage", "Storage", "45", "1", "45.00", unit="GB", description="OMA files, images, documents, backups"),
    usage("api_calls", "API calls", "50000", "0.01", "0.50", per=Decimal(1000), description="Public API usage"),
    usage("ai_jobs", "AI jobs", "120", "0.5", "60.00", unit="job", description="Forecasting and recommendations"),
)


def invoice(**more: Any) -> Invoice:
    whole: dict[str, Any] = {
        "number": "2025-000042",
        "kind": DocumentKind.INVOICE,
        "tenant_id": "optical-labs",
        "tenant_name": "Optical Labs Inc.",
        "plan": "optical",
        "currency": "USD",
        "start": START,
        "end": END,
        "lines": COMPANY_LINES,
        "total": Decimal("478.50"),
        "issued_at": ISSUED,
        "cut": {"10": 7, "2": 5},
        **more,
    }
    return Invoice(**whole)


def tiered(amount: str = "1062.50") -> Line:
    return usage(
        "emails", "Emails sent", "27500", "", amount, per=None, unit="email", included=Decimal(1000),
        events="/v1/usage/events?metric=emails&from=2025-01-01T00:00:00Z",
        tiers=(
            TierAmount(Decimal(10000), Decimal("0.05"), Decimal(0), Decimal(500), Decimal(10000)),
            TierAmount(Decimal(15000), Decimal("0.04"), Decimal(0), Decimal(600), Decimal(25000)),
            TierAmount(Decimal(1500), Decimal("0.035"), Decimal(10), Decimal("62.5")),
        ),
    )  # fmt: skip


def long(lines: int = 200) -> Invoice:
    """Prorated, tiered and adjusted lines among many, with an exchange rate."""
    middle = START + timedelta(days=15)
    kinds = (
        tiered(),
        tiered("1000.00"),
        Line(LineKind.BASE_FEE, Decimal("96.29"), START, middle, plan="starter", share=Decimal(15) / 31),
        usage("order", "Orders", "-12", "0.1", "-1.20", kind=LineKind.ADJUSTMENT, origin="2024-000913", unit="order",
              start=datetime(2024, 12, 1, tzinfo=UTC), end=START),
        usage("seats", "Γραφεία и места, façade", "1234567.891", "0.0005", "617.28", unit="seat"),
        Line(LineKind.MANUAL, Decimal("-25.00"), START, END, description="Goodwill for the outage of 12 January"),
    )  # fmt: skip
    chosen = tuple(kinds[place % len(kinds)] for place in range(lines))
    total = sum((line.amount for line in chosen), Decimal(0))
    return invoice(
        lines=chosen,
        total=total,
        exchange=Exchange("EUR", Decimal("0.9614"), "ECB", "2025-01-31", round(total * Decimal("0.9614"), 2)),
    )


def draft() -> Invoice:
    return invoice(number="", status=Status.DRAFT, lines=(*COMPANY_LINES, tiered()), total=Decimal("1541.00"))


def credit_note() -> Invoice:
    from msgspec.structs import replace

    lines = tuple(replace(line, amount=-line.amount) for line in COMPANY_LINES)
    return invoice(
        number="2025-000043",
        kind=DocumentKind.CREDIT_NOTE,
        lines=lines,
        total=Decimal("-478.50"),
        of="2025-000042",
        reason="Billed to the wrong company",
    )
