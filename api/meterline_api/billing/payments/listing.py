"""Payments as SQL: a request in, a statement with parameters out, and its rows read. Pure.

A value never becomes part of the statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meterline_api.billing.payments.models import InvoicePayment, PaymentAnswer
from meterline_api.billing.rendering.words import amount
from meterline_api.opaque import opaque, plain
from meterline_schemas.billing.invoice import PaymentState

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 10_413_791_999_999  # 2299-12-31T23:59:59.999Z: what DateTime64(3) holds
_CURSOR: Final = re.compile(r"([0-9]{1,14}) ([A-Za-z0-9_-]{1,255})")
_COLUMNS: Final = (
    "p.provider, p.reference, p.provider_number, p.tenant_id, p.customer, p.numbers, toString(p.state), "
    "toUnixTimestamp64Milli(p.at), p.detail, p.attempts, toUnixTimestamp64Milli(p.next_attempt_at), "
    "toString(p.currency), toString(p.amount_due), toString(p.amount_paid), toUnixTimestamp64Milli(p.created_at)"
)
_OF_INVOICES: Final = (
    "SELECT p.number, toString(p.state), toUnixTimestamp64Milli(p.at), toString(p.provider), p.reference, p.detail, "
    "p.attempts, toUnixTimestamp64Milli(p.next_attempt_at) FROM invoice_payments AS p FINAL "
    "WHERE p.number IN {numbers:Array(String)}"
)


class Place(NamedTuple):
    """Where a payment stands in the order of the list."""

    milliseconds: int
    reference: str


@dataclass(frozen=True)
class ListQuery:
    """Payments of invoices that were made in ``[start, end)``, the newest first; ``after`` is the last one given.

    ``tenants`` are whose they are; None: everybody's. No ``states``: all of them.
    """

    tenants: tuple[str, ...] | None = None
    states: tuple[PaymentState, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 100
    after: Place | None = None


def build(query: ListQuery) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. One row more than ``limit`` is asked for: it says that there are more."""
    conditions, parameters = list[str](), dict[str, Any](limit=query.limit + 1)
    if query.tenants is not None:
        conditions.append("p.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(query.tenants)
    if query.states:
        conditions.append("p.state IN {states:Array(String)}")
        parameters["states"] = [str(state) for state in query.states]
    for name, sign, instant in (("from", ">=", query.start), ("to", "<", query.end)):
        if instant is not None:
            conditions.append(f"p.created_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = _milliseconds(instant)
    if query.after is not None:
        place = "(fromUnixTimestamp64Milli({after:Int64}, 'UTC'), {after_reference:String})"
        conditions.append(f"(p.created_at, p.reference) < {place}")
        parameters |= {"after": query.after.milliseconds, "after_reference": query.after.reference}
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "ORDER BY p.created_at DESC, p.reference DESC LIMIT {limit:UInt32}"
    return f"SELECT {_COLUMNS} FROM payments AS p FINAL{where} {order}", parameters


def read(row: Sequence[Any]) -> PaymentAnswer:
    """A row of ``build``."""
    provider, reference, number, tenant_id, customer, numbers, state, at, detail, attempts, again, *money = row
    currency, due, paid, created_at = money
    return PaymentAnswer(
        provider=provider,
        reference=reference,
        provider_number=number,
        tenant_id=tenant_id,
        customer=customer,
        invoices=list(numbers),
        state=state,
        at=_instant(at),
        detail=detail,
        attempts=attempts,
        next_attempt_at=None if again is None else _instant(again),
        currency=currency,
        amount_due=amount(Decimal(due), currency),
        amount_paid=amount(Decimal(paid), currency),
        created_at=_instant(created_at),
    )


def build_of(numbers: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The statement for the payments of invoices of ours."""
    return _OF_INVOICES, {"numbers": list(numbers)}


def read_of(row: Sequence[Any]) -> tuple[str, InvoicePayment]:
    """A row of ``build_of``: the number of an invoice, and how its payment stands."""
    number, state, at, provider, reference, detail, attempts, again = row
    return number, InvoicePayment(
        provider=provider,
        reference=reference,
        state=state,
        at=_instant(at),
        detail=detail,
        attempts=attempts,
        next_attempt_at=None if again is None else _instant(again),
    )


def write_cursor(last: PaymentAnswer) -> str:
    return opaque(f"{_milliseconds(last.created_at)} {last.reference}")


def read_cursor(text: str) -> Place | None:
    """The place that ``write_cursor`` wrote; None where it wrote no such text."""
    found = _CURSOR.fullmatch(plain(text) or "")
    return Place(int(found[1]), found[2]) if found and int(found[1]) <= _LAST_MS else None


def _milliseconds(instant: datetime) -> int:
    """Rounded up: what is before an instant, or not, stays so."""
    return min(max(-((_EPOCH - instant) // _MILLISECOND), 0), _LAST_MS)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND
