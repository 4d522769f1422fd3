"""The general journal: what documents come to as double entries.

Each line of a document that has an amount is an entry of two rows, receivables against revenue. An amount below zero,
as of a credit note, has debit and credit the other way round, so that no amount in the journal is negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from meterline_api.billing.exporting.accounts import AccountSettings
from meterline_api.billing.exporting.columns import Described, Row, instant, integer, money, text
from meterline_api.billing.rendering.words import amount
from meterline_schemas.billing.invoice import Invoice, Line, LineKind

COLUMNS: Final[tuple[Described, ...]] = (
    text("entry", "Id of the entry, `<number>/<line>`: its two rows have the same"),
    instant("posted_at", "When the document was issued"),
    text("account", "Account, as `METERLINE_BILLING_ACCOUNT_…` names it"),
    money("debit", "Debit, or 0; never negative"),
    money("credit", "Credit, or 0; never negative"),
    text("currency", "ISO 4217 code of both"),
    text("number", "Number of the invoice or credit note"),
    integer("line", "Line of the document, from 1"),
    text("kind", "`invoice` or `credit_note`"),
    text("of", "Of a credit note: the invoice that it takes back", nullable=True),
    text("origin", "Of an adjustment: the invoice that it is to", nullable=True),
    text("tenant_id", "Who is billed"),
    text("tenant_name", "Name of the tenant when the document was issued"),
    text("charge", "`base_fee`, `usage`, `adjustment` or `manual`"),
    text("metric", "Key of the metric; nothing for a base fee", nullable=True),
    text("plan", "Id of the plan that it is priced by"),
    instant("from", "Start of what the line is of"),
    instant("to", "End of what the line is of, not included"),
    text("description", "What it is, for people"),
)


def rows(invoice: Invoice, accounts: AccountSettings) -> Iterator[Row]:
    """Two for each line with an amount: receivables, then revenue."""
    for number, line in enumerate(invoice.lines, 1):
        if not line.amount:
            continue
        around = _around(invoice, number, line)
        sides = amount(abs(line.amount), invoice.currency), amount(Decimal(0), invoice.currency)
        debit, credit = sides if line.amount > 0 else sides[::-1]
        yield {**around, "account": _named(accounts.receivable, line), "debit": debit, "credit": credit}
        yield {**around, "account": account_of(line, accounts), "debit": credit, "credit": debit}


def account_of(line: Line, accounts: AccountSettings) -> str:
    """The account of revenue that a line belongs to."""
    if line.metric in accounts.metrics:
        return _named(accounts.metrics[line.metric], line)
    match line.kind:
        case LineKind.BASE_FEE:
            return _named(accounts.base_fee, line)
        case LineKind.USAGE | LineKind.ADJUSTMENT:
            return _named(accounts.usage if line.metric else accounts.base_fee, line)
        case LineKind.MANUAL:
            return _named(accounts.manual, line)


def _named(account: str, line: Line) -> str:
    return account.replace("{metric}", line.metric).replace("{service}", line.metric.partition(".")[0])


def _around(invoice: Invoice, number: int, line: Line) -> dict[str, Any]:
    return {
        "entry": f"{invoice.number}/{number}",
        "posted_at": invoice.issued_at,
        "currency": invoice.currency,
        "number": invoice.number,
        "line": number,
        "kind": invoice.kind,
        "of": invoice.of or None,
        "origin": line.origin or None,
        "tenant_id": invoice.tenant_id,
        "tenant_name": invoice.tenant_name,
        "charge": line.kind,
        "metric": line.metric or None,
        "plan": line.plan,
        "from": line.start,
        "to": line.end,
        "description": line.name or line.description,
    }
