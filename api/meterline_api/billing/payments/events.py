"""Stripe's events as they come in: what of them is read, and how what they tell is put together. Pure.

What is known of an invoice only grows: the newest snapshot of it stands, and a status that is further on is newer than
any before it. Events may therefore come twice, late and in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from meterline_api.billing.stripe.expressing import minor_digits
from meterline_schemas.billing.payment import RefusedUsage, Report, StripeInvoice, StripeStatus

NUMBER: Final = "meterline_invoice"
"""In the metadata of an invoice, or of its lines: the number of ours that it collects."""

INVOICE_EVENTS: Final = tuple(
    f"invoice.{what}"
    for what in (
        "created",
        "finalized",
        "updated",
        "payment_failed",
        "payment_action_required",
        "paid",
        "voided",
        "marked_uncollectible",
    )
)
REPORT_EVENTS: Final = ("v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found")

_RANK: Final = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
_SINCE: Final[Mapping[StripeStatus, str]] = {
    StripeStatus.OPEN: "finalized_at",
    StripeStatus.UNCOLLECTIBLE: "marked_uncollectible_at",
    StripeStatus.PAID: "paid_at",
    StripeStatus.VOID: "voided_at",
}
_MOST_DETAIL: Final = 500
_WRONG: Final = (msgspec.MsgspecError, ValueError, OverflowError, OSError, RecursionError)


class EventError(ValueError):
    """It is no event of a form that is known; the text says why, on one line."""


class _Data(Struct):
    object: msgspec.Raw


class Event(Struct):
    """``created`` is in Unix seconds, of a thin one RFC 3339; ``data`` is only in a snapshot."""

    id: str
    type: str
    created: int | datetime
    object: Literal["event", "v2.core.event"]
    data: _Data | None = None

    @property
    def at(self) -> datetime:
        return self.created if isinstance(self.created, datetime) else _instant(self.created)


class _Line(Struct):
    metadata: dict[str, str] | None = None


class _Lines(Struct):
    data: list[_Line] = []
    has_more: bool = False


class _Invoice(Struct):
    id: str
    customer: str
    created: int
    currency: str
    status: StripeStatus
    amount_due: int = 0
    amount_paid: int = 0
    attempt_count: int = 0
    next_payment_attempt: int | None = None
    number: str | None = None
    metadata: dict[str, str] | None = None
    status_transitions: dict[str, int | None] = {}
    lines: _Lines = msgspec.field(default_factory=_Lines)


@dataclass(frozen=True)
class Seen:
    """An invoice as one event has it. ``cut``: it has more lines than the event names."""

    invoice: StripeInvoice
    cut: bool = False


_event: Final = msgspec.json.Decoder(Event)
_invoice: Final = msgspec.json.Decoder(_Invoice)


def read_event(body: bytes) -> Event:
    """Raises EventError."""
    try:
        event = _event.decode(body)
        _ = event.at
    except _WRONG as error:
        raise EventError(" ".join(str(error).split())[:300]) from None
    return event


def read_invoice(event: Event) -> Seen:
    """The invoice of an event of ``INVOICE_EVENTS``. Raises EventError."""
    if event.data is None:
        raise EventError("it has no data: send invoice events as snapshots, not as thin events")
    try:
        return seen(_invoice.decode(event.data.object), event.type, event.at)
    except _WRONG as error:
        raise EventError(" ".join(str(error).split())[:300]) from None


def fetched_invoice(document: Mapping[str, Any], now: datetime) -> Seen:
    """An invoice as Stripe has it now. Raises EventError."""
    try:
        return seen(msgspec.convert(dict(document), _Invoice), "", now)
    except _WRONG as error:
        raise EventError(" ".join(str(error).split())[:300]) from None


def numbers_of(*metadata: Mapping[str, str] | None) -> tuple[str, ...]:
    """The numbers of ours that some metadata name."""
    return tuple(sorted({each[NUMBER] for each in metadata if each and each.get(NUMBER)}))


def seen(found: _Invoice, type: str, at: datetime) -> Seen:
    created = _instant(found.created)
    currency = found.currency.upper()
    since = found.status_transitions.get(_SINCE.get(found.status, ""))
    attempts = found.attempt_count
    failing = type == "invoice.payment_failed"
    invoice = StripeInvoice(
        id=found.id,
        customer=found.customer,
        status=found.status,
        currency=currency,
        amount_due=_amount(found.amount_due, currency),
        amount_paid=_amount(found.amount_paid, currency),
        created_at=created,
        since=created if since is None else _instant(since),
        seen_at=at,
        numbers=numbers_of(found.metadata, *(line.metadata for line in found.lines.data)),
        their_number=found.number or "",
        attempts=attempts,
        next_attempt_at=None if found.next_payment_attempt is None else _instant(found.next_payment_attempt),
        failed=max(attempts, 1) if failing else 0,
        failed_at=at if failing else None,
        asked=max(attempts, 1) if type == "invoice.payment_action_required" else 0,
    )
    return Seen(invoice, found.lines.has_more)


def merged(known: StripeInvoice | None, invoice: StripeInvoice) -> StripeInvoice:
    """What is known once an invoice was seen: the same in whatever order, and however often."""
    if known is None:
        return invoice
    newer, older = (invoice, known) if _order(invoice) >= _order(known) else (known, invoice)
    failing = max(known, invoice, key=lambda each: (each.failed, _reversed(each.failed_at)))
    return msgspec.structs.replace(
        newer,
        tenant_id=invoice.tenant_id or known.tenant_id,
        numbers=tuple(sorted({*known.numbers, *invoice.numbers})),
        their_number=newer.their_number or older.their_number,
        failed=failing.failed,
        failed_at=failing.failed_at,
        asked=max(known.asked, invoice.asked),
        told=tuple(sorted({*known.told, *invoice.told})),
    )


def unsure(known: StripeInvoice | None, invoice: StripeInvoice) -> bool:
    """Whether two snapshots tell different things and neither is newer: Stripe has to be asked."""
    return known is not None and _order(known)[:3] == _order(invoice)[:3] and _told(known) != _told(invoice)


def report_of(document: Mapping[str, Any], type: str) -> Report:
    """A thin event of ``REPORT_EVENTS`` as Stripe gives it when it is asked. Raises EventError."""
    try:
        found = msgspec.convert(dict(document), _Thin)
    except _WRONG as error:
        raise EventError(" ".join(str(error).split())[:300]) from None
    data = found.data
    return Report(
        event=found.id,
        type=type,
        at=found.created,
        count=data.reason.error_count,
        start=data.validation_start,
        end=data.validation_end,
        reasons=tuple(_refused(each) for each in data.reason.error_types),
        meter=found.related_object.id if found.related_object is not None else "",
        summary=_line(data.developer_message_summary),
    )


class _Request(Struct):
    identifier: str = ""


class _Sample(Struct):
    error_message: str = ""
    request: _Request = msgspec.field(default_factory=_Request)


class _ErrorType(Struct):
    code: str
    error_count: int
    sample_errors: list[_Sample] = []


class _Reason(Struct):
    error_count: int
    error_types: list[_ErrorType]


class _ReportData(Struct):
    reason: _Reason
    validation_start: datetime
    validation_end: datetime
    developer_message_summary: str = ""


class _Related(Struct):
    id: str


class _Thin(Struct):
    id: str
    created: datetime
    data: _ReportData
    related_object: _Related | None = None


def _refused(found: _ErrorType) -> RefusedUsage:
    identifiers = dict.fromkeys(each.request.identifier for each in found.sample_errors if each.request.identifier)
    message = next((each.error_message for each in found.sample_errors if each.error_message), "")
    return RefusedUsage(found.code, found.error_count, _line(message), tuple(identifiers))


def _order(invoice: StripeInvoice) -> tuple[int, int, datetime, bytes]:
    """How new a snapshot is; the last only makes a choice between two of one second."""
    return (_RANK[invoice.status], invoice.attempts, invoice.seen_at, _told(invoice))


def _told(invoice: StripeInvoice) -> bytes:
    """What a snapshot itself says: all but what is gathered over several."""
    return msgspec.json.encode(
        (invoice.status, invoice.amount_due, invoice.amount_paid, invoice.next_attempt_at, invoice.since)
    )


def _reversed(at: datetime | None) -> float:
    """The first that told of a failed attempt is when it failed."""
    return float("-inf") if at is None else -at.timestamp()


def _amount(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-minor_digits(currency))


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_DETAIL]
