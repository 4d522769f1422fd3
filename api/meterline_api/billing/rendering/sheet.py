"""What stands on an invoice that people read, as texts: the same on a page of HTML and in PDF. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

from meterline_api.billing.rendering.words import (
    counted,
    day,
    exact,
    grouped,
    money,
    said,
    stretch,
)
from meterline_schemas.billing.invoice import DocumentKind, Exchange, Invoice, Line, LineKind, Status, TierAmount
from meterline_schemas.currencies import minor_digits

TAX: Final = "Tax is not computed here: all amounts are without any tax that may be due on them."
_ENOUGH_DIGITS: Final = 1000
_NAMES: Final = {
    LineKind.BASE_FEE: "Base fee",
    LineKind.USAGE: "Usage",
    LineKind.ADJUSTMENT: "Adjustment",
    LineKind.MANUAL: "Manual adjustment",
}


@dataclass(frozen=True)
class Seller:
    """Who an invoice is from; ``note`` stands below it."""

    name: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""
    email: str = ""
    note: tuple[str, ...] = ()


NOBODY: Final = Seller()


@dataclass(frozen=True)
class Part:
    """A row below a line: a tier of its price, or what is between the tiers' sum and the line's amount."""

    name: str
    quantity: str
    rate: str
    amount: str


@dataclass(frozen=True)
class Row:
    """A line. ``notes`` stand below its name, ``parts`` below it; ``events`` is an address or empty."""

    name: str
    notes: tuple[str, ...]
    quantity: str
    included: str
    rate: str
    amount: str
    parts: tuple[Part, ...]
    events: str


@dataclass(frozen=True)
class Sheet:
    """``mark`` is written across the page: DRAFT, VOID or nothing. ``facts`` are labels and what they say."""

    title: str
    mark: str
    number: str
    tenant: str
    tenant_id: str
    seller: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    amounts: str
    rows: tuple[Row, ...]
    total: str
    below: tuple[str, ...]


def sheet_of(invoice: Invoice, seller: Seller = NOBODY, zone: str = "UTC") -> Sheet:
    """Days are those of ``zone``."""
    title = "Credit note" if invoice.kind is DocumentKind.CREDIT_NOTE else "Invoice"
    draft = invoice.status is Status.DRAFT
    return Sheet(
        title=f"Draft {title.lower()}" if draft else title,
        mark={Status.DRAFT: "DRAFT", Status.VOID: "VOID"}.get(invoice.status, ""),
        number=said(invoice.number),
        tenant=said(invoice.tenant_name) or said(invoice.tenant_id),
        tenant_id=said(invoice.tenant_id),
        seller=_seller(seller),
        facts=_facts(invoice, zone),
        amounts=f"Amount ({invoice.currency})",
        rows=tuple(_row(line, invoice, zone) for line in invoice.lines),
        total=money(invoice.total, invoice.currency),
        below=tuple(_below(invoice, seller)),
    )


def _seller(seller: Seller) -> tuple[str, ...]:
    lines = (seller.name, *seller.address, seller.tax_id, seller.email)
    return tuple(text for text in map(said, lines) if text)


def _facts(invoice: Invoice, zone: str) -> tuple[tuple[str, str], ...]:
    credited = f"Invoice {said(invoice.of)}" if invoice.of else ""
    status = {Status.DRAFT: "Draft, may still change", Status.VOID: "Void"}.get(invoice.status, "Closed")
    facts = (
        ("Number", said(invoice.number) or "none yet"),
        ("Status", status),
        ("Takes back", credited),
        ("Reason", said(invoice.reason)),
        ("Period", f"{stretch(invoice.start, invoice.end, zone)} ({zone})"),
        ("Computed" if invoice.status is Status.DRAFT else "Issued", day(invoice.issued_at, zone)),
        ("Plan", said(invoice.plan)),
        ("Currency", invoice.currency),
    )
    return tuple((label, text) for label, text in facts if text)


def _row(line: Line, invoice: Invoice, zone: str) -> Row:
    least = minor_digits(invoice.currency)
    return Row(
        name=said(line.name) or said(line.metric) or _NAMES[line.kind],
        notes=tuple(_notes(line, invoice, zone)),
        quantity="" if line.quantity is None else counted(line.quantity, line.unit),
        included="" if not line.included else counted(line.included, line.unit),
        rate=_rate(line, least),
        amount=grouped(line.amount, least),
        parts=() if invoice.kind is DocumentKind.CREDIT_NOTE else _parts(line, least),  # the invoice has them
        events=line.events if line.events.startswith(("/", "https://")) and not line.events.startswith("//") else "",
    )


def _notes(line: Line, invoice: Invoice, zone: str) -> list[str]:
    notes = [said(line.description)]
    if line.kind is not LineKind.USAGE and said(line.name or line.metric) not in ("", _NAMES[line.kind]):
        notes.append(_NAMES[line.kind] + (f" to invoice {said(line.origin)}" if line.origin else ""))
    elif line.origin:
        notes.append(f"To invoice {said(line.origin)}")
    if (line.start, line.end) != (invoice.start, invoice.end):
        notes.append(stretch(line.start, line.end, zone))
    if line.share is not None and line.share != 1:
        notes.append(f"{grouped(_rounded(line.share * 100, 4))} % of the period")
    if line.plan and line.plan != invoice.plan:
        notes.append(f"Plan {said(line.plan)}")
    return [note for note in notes if note]


def _rate(line: Line, least: int) -> str:
    if line.rate is None:
        return ""
    rate = grouped(line.rate, least)
    if line.per is not None and line.per != 1:
        return f"{rate} per {grouped(line.per)}"
    return f"{rate} per {said(line.unit)}" if said(line.unit) else rate


def _parts(line: Line, least: int) -> tuple[Part, ...]:
    if not line.tiers:
        return ()
    parts, below = [], Decimal(0)
    for tier in line.tiers:
        parts.append(_part(tier, below, least))
        below = tier.up_to or below
    with localcontext() as context:
        context.prec = _ENOUGH_DIGITS
        rest = line.amount - sum((tier.amount for tier in line.tiers), Decimal(0))
    # less than the smallest unit is rounding; an adjustment is a difference, which its tiers do not come to
    if line.kind is LineKind.USAGE and abs(rest) >= Decimal(1).scaleb(-least):
        parts.append(Part("Discount, minimum or cap", "", "", grouped(rest, least)))
    return tuple(parts)


def _part(tier: TierAmount, below: Decimal, least: int) -> Part:
    if tier.up_to is None:
        name = f"above {grouped(below)}" if below else "all"
    else:
        name = f"{grouped(below)} to {grouped(tier.up_to)}" if below else f"up to {grouped(tier.up_to)}"
    flat = f"{grouped(tier.flat, least)} flat" if tier.flat else ""
    unit = grouped(tier.unit_price, least) if tier.unit_price or not flat else ""
    return Part(name, grouped(tier.quantity), " + ".join(filter(None, (unit, flat))), grouped(tier.amount, least))


def _below(invoice: Invoice, seller: Seller) -> list[str]:
    below = [] if invoice.exchange is None else [_exchanged(invoice.exchange, invoice.currency)]
    return [*below, TAX, *(text for text in map(said, seller.note) if text)]


def _exchanged(exchange: Exchange, currency: str) -> str:
    source = f", {said(exchange.source)}" if exchange.source else ""
    return (
        f"In {exchange.currency}: {money(exchange.total, exchange.currency)}, "
        f"at {exact(exchange.rate)} {exchange.currency} for 1 {currency} ({said(exchange.date)}{source})."
    )


def _rounded(value: Decimal, digits: int) -> Decimal:
    with localcontext() as context:
        context.prec = _ENOUGH_DIGITS
        return round(value, digits)
