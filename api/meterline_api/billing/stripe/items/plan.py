"""Which items a document comes to at Stripe, and which of them may be sent now. Pure.

A credit note's items take back those of its invoice: only what is there, or will be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from msgspec.structs import replace

from meterline_api.billing.rendering.words import counted, money, said
from meterline_api.billing.stripe.expressing import minor_digits
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind
from meterline_schemas.billing.item import Item, ItemKind, Items, ItemState
from meterline_schemas.catalog.tenant import Billing

AGAIN_AFTER: Final = timedelta(hours=6)
"""What Stripe refused is sent again after."""
_LONGEST: Final = 500
_THERE: Final = (ItemState.INTENT, ItemState.DELIVERED)
_TENS: Final = 10  # Stripe takes three decimals, and the last one is 0

Metered = Callable[[str, str, datetime, datetime], bool]
"""Whether a tenant's usage of a metric in ``[start, end)`` went to a meter at Stripe."""


@dataclass(frozen=True)
class Choices:
    """What configuration says of items."""

    invoice: Literal["pending", "draft", "finalize"] = "pending"
    auto_advance: bool = False
    base_fee: bool = True


class NotExactError(ValueError):
    """An amount that Stripe's units cannot say."""

    def __init__(self, amount: Decimal, currency: str) -> None:
        super().__init__(
            f"Stripe cannot be told {money(amount, currency)} exactly in the units that it counts {currency} in, and "
            "nothing is rounded: charge it by another way"
        )


def in_units(amount: Decimal, currency: str) -> int:
    """An amount in Stripe's units of its currency: 1.25 EUR are 125, 125 JPY 125, 1.250 KWD 1250.

    Raises:
        NotExactError: it has decimals that Stripe has not; Stripe takes 1.250 KWD and not 1.255 KWD.
    """
    digits = minor_digits(currency)
    units = amount.scaleb(digits)
    if units != units.to_integral_value() or (digits == 3 and units % _TENS):
        raise NotExactError(amount, currency)
    return int(units)


def items_of(invoice: Invoice, taken_back: Items | None, choices: Choices, metered: Metered, now: datetime) -> Items:
    """What a document comes to; no items where it is not charged by them.

    ``taken_back`` are the items of the invoice that a credit note is of.
    """
    if invoice.kind is DocumentKind.CREDIT_NOTE:
        found = list(_credits(invoice, taken_back, now))
    elif invoice.billing == Billing.INVOICE_ITEMS:
        found = list(_charges(invoice, choices, metered, now))
    else:
        found = []
    if choices.invoice != "pending" and any(item.state is ItemState.DUE for item in found):
        found.insert(0, Item(ItemKind.INVOICE, ItemState.DUE, now))
        if choices.auto_advance:
            found.append(Item(ItemKind.ADVANCE, ItemState.DUE, now))
        if choices.invoice == "finalize":
            found.append(Item(ItemKind.FINALIZE, ItemState.DUE, now))
    return Items(
        invoice.number,
        invoice.tenant_id,
        invoice.currency.lower(),
        invoice.issued_at,
        tuple(found),
        of=invoice.of,
    )


def intents(
    items: Items, taken_back: Items | None, customer: str | None, now: datetime
) -> tuple[Items, Items | None, str]:
    """What may be sent now as intents: the items, those of the invoice that they take back, and what is in the way.

    ``customer`` is who the tenant is at Stripe now.
    """
    if taken_back is not None:
        items, taken_back = _left_together(items, taken_back, now)
    begun = any(item.state in _THERE for item in items.items)
    chosen = items.customer if begun else (taken_back.customer if taken_back is not None else customer or "")
    if items.is_open and not chosen:
        return items, taken_back, "the tenant has no `stripe_customer`: give it one"
    moved = bool(items.customer) and chosen != items.customer
    ready = _ready(items, taken_back)
    found: list[Item] = []
    for item in items.items:
        if item.state is ItemState.DUE and item.place in ready:
            item = replace(item, state=ItemState.INTENT, at=now)
        elif item.state is ItemState.REFUSED and item.place in ready and (moved or now - item.at >= AGAIN_AFTER):
            item = replace(item, state=ItemState.INTENT, at=now, attempt=item.attempt + 1)
        found.append(item)
    return replace(items, customer=chosen, items=tuple(found)), taken_back, ""


def rewritten(items: Items, outcome: Items) -> Items:
    """``items`` as they lie, with the outcomes of what was sent: nothing is written over what another wrote since."""
    found: list[Item] = []
    for item in items.items:
        told = outcome.find(*item.place)
        if told is not None and item.state in (ItemState.INTENT, ItemState.REFUSED):
            refused = told.state is ItemState.REFUSED and told.attempt == item.attempt
            anew = told.state is ItemState.INTENT and told.attempt > item.attempt
            if told.state is ItemState.DELIVERED or (item.state is ItemState.INTENT and (refused or anew)):
                item = told
        found.append(item)
    return replace(items, items=tuple(found))


def _ready(items: Items, taken_back: Items | None) -> set[tuple[ItemKind, int]]:
    """What nothing else has to be at Stripe for first; a note's item waits for that of its invoice."""
    lines = [item for item in items.items if item.kind is ItemKind.ITEM]
    found = set[tuple[ItemKind, int]]()
    for item in lines:
        before = taken_back.find(*item.place) if taken_back is not None else None
        if taken_back is None or (before is not None and before.state is ItemState.DELIVERED):
            found.add(item.place)
    invoice = items.find(ItemKind.INVOICE)
    if invoice is not None and found:
        found.add(invoice.place)
    over = (ItemState.DELIVERED, ItemState.LEFT)
    if invoice is not None and invoice.state is ItemState.DELIVERED and all(item.state in over for item in lines):
        found |= {(ItemKind.ADVANCE, 0), (ItemKind.FINALIZE, 0)}
    return found


def _left_together(items: Items, taken_back: Items, now: datetime) -> tuple[Items, Items]:
    """Where an invoice's item is not at Stripe, and not under way, neither it nor the note's is ever sent."""
    mine, theirs = list[Item](), {item.place: item for item in taken_back.items}
    for item in items.items:
        before = theirs.get(item.place) if item.kind is ItemKind.ITEM else None
        if item.state is ItemState.DUE and before is not None:
            if before.state in (ItemState.DUE, ItemState.REFUSED):
                before = theirs[item.place] = _left(before, f"{items.number} took it back before it was sent", now)
            if before.state is ItemState.LEFT:
                item = _left(item, f"that of {items.of} is not at Stripe", now)
        mine.append(item)
    return _without_empty(items, mine, now), _without_empty(taken_back, list(theirs.values()), now)


def _without_empty(items: Items, found: list[Item], now: datetime) -> Items:
    """No invoice of its own where nothing is to be on it."""
    if all(item.state is ItemState.LEFT for item in found if item.kind is ItemKind.ITEM):
        waiting = (ItemState.DUE, ItemState.REFUSED)
        found = [_left(item, "nothing is on it", now) if item.state in waiting else item for item in found]
    return replace(items, items=tuple(found))


def _charges(invoice: Invoice, choices: Choices, metered: Metered, now: datetime) -> Iterator[Item]:
    for number, line in enumerate(invoice.lines, 1):
        if not line.amount:
            continue
        item = _item(invoice, number, line, now)
        if line.kind is LineKind.BASE_FEE and not choices.base_fee:
            item = _left(item, "base fees are charged otherwise (METERLINE_STRIPE_ITEMS_BASE_FEE is false)")
        elif line.metric and metered(invoice.tenant_id, line.metric, line.start, line.end):
            item = _left(
                item,
                f"usage of {line.metric} in its period was pushed to a meter at Stripe, and would be charged twice: "
                "take it out there, or charge the difference by hand",
            )
        yield item


def _credits(note: Invoice, taken_back: Items | None, now: datetime) -> Iterator[Item]:
    for number, line in enumerate(note.lines, 1):
        before = taken_back.find(ItemKind.ITEM, number) if taken_back is not None else None
        if before is not None and before.state is not ItemState.LEFT:
            yield _item(note, number, line, now)


def _item(document: Invoice, number: int, line: Line, now: datetime) -> Item:
    item = Item(
        ItemKind.ITEM,
        ItemState.DUE,
        now,
        line=number,
        description=_description(document, line),
        metric=line.metric,
        start=line.start,
        end=line.end,
    )
    try:
        return replace(item, amount=in_units(line.amount, document.currency))
    except NotExactError as error:
        return _left(item, str(error))


def _description(document: Invoice, line: Line) -> str:
    words = [said(line.name or line.metric or line.kind)]
    if line.quantity is not None:
        included = f", {counted(line.included, '')} included" if line.included else ""
        words.append(f"{counted(line.quantity, line.unit)}{included}")
    if line.origin:
        words.append(f"adjustment of {line.origin}")
    if document.of:
        words.append(f"credit for {document.of}")
    return " · ".join(words)[:_LONGEST]


def _left(item: Item, detail: str, now: datetime | None = None) -> Item:
    return replace(item, state=ItemState.LEFT, detail=detail, at=now or item.at)
