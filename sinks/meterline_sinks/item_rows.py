"""Rows of the records of ``billing.items``: a document with all that goes to Stripe of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from meterline_schemas.billing.item import MARK, Item, Items, ItemState, read_items
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.rows import Row, UnreadableError, instant

ITEMS: Final = "stripe_items_raw"

_STATES: Final = (ItemState.REFUSED, ItemState.INTENT, ItemState.DUE, ItemState.DELIVERED)
_encode: Final = msgspec.json.Encoder().encode


def item_row(offset: int, key: bytes | None, value: bytes) -> Row | None:
    """A table, and the row of a record in it; None: the record says how far documents were taken over.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    if key == MARK:
        return None
    try:
        found = read_items(value)
    except UNREADABLE as error:
        raise UnreadableError(f"it is no document's items: {' '.join(str(error).split())}") from None
    return ITEMS, _encode({**_document(found), "kafka_offset": offset})


def state_of(items: Iterable[Item]) -> ItemState:
    """How far a document is: what needs somebody comes first, and what is left counts only where all of it is."""
    states = {item.state for item in items}
    return next((state for state in _STATES if state in states), ItemState.LEFT)


def _document(found: Items) -> dict[str, Any]:
    return {
        "tenant_id": found.tenant_id,
        "number": found.number,
        "of": found.of,
        "customer": found.customer,
        "state": state_of(found.items),
        "currency": found.currency.upper(),
        "issued_at": instant(found.issued_at),
        "items": [_item(item) for item in found.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "line": item.line,
        "state": item.state,
        "at": instant(item.at),
        "amount": item.amount,
        "description": item.description,
        "metric": item.metric,
        "item_start": instant(item.start),
        "item_end": instant(item.end),
        "attempt": item.attempt,
        "id": item.id,
        "detail": item.detail,
        "request_id": item.request_id,
    }
