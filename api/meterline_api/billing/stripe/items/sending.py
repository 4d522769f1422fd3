"""Sending intents: the items of a document one after the other, of a customer one document after the other.

Stripe remembers an idempotency key for a day. What may have been sent before that, or under another key, is looked up
there by its metadata first: then it is sent once, however old it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from msgspec.structs import replace

from meterline_api.billing.stripe.answers import Answer, Verdict
from meterline_api.billing.stripe.sending import Sender
from meterline_api.billing.stripe.setup import METRIC, TENANT
from meterline_schemas.billing.item import Item, ItemKind, Items, ItemState

INVOICE: Final = "meterline_invoice"
LINE: Final = "meterline_line"
REMEMBERED: Final = timedelta(hours=23)
"""Stripe keeps a key for 24 hours at least."""

Found = Mapping[str, Any]


class Gateway(Protocol):
    """Stripe, one call each; ``act`` under one key does one thing."""

    def act(self, kind: str, action: str, params: Mapping[str, Any], key: str, of: str = "") -> Answer: ...

    def search(
        self, kind: str, params: Mapping[str, Any], wanted: Callable[[Mapping[str, Any]], bool]
    ) -> list[Mapping[str, Any]] | Answer: ...


@dataclass
class Sent:
    """``outcomes`` are the documents with what became of their intents, ``answers`` what Stripe said last of each."""

    outcomes: list[Items] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    stopped: str | None = None


class ItemSender:
    """``clock`` is that of the wall, in UTC."""

    def __init__(self, gateway: Gateway, sender: Sender, clock: Callable[[], datetime]) -> None:
        self._gateway = gateway
        self._sender = sender
        self._clock = clock

    async def send(self, documents: Sequence[Items], read_at: datetime) -> Sent:
        """Send what of the documents is an intent, decided on a ledger that was read at ``read_at``."""
        sent = Sent()
        queues: dict[str, list[Items]] = defaultdict(list)
        for each in documents:
            if any(item.state is ItemState.INTENT for item in each.items):
                queues[each.customer].append(each)

        async def one(document: Items) -> Answer:
            outcome, answer = await self._document(document, read_at)
            sent.outcomes.append(outcome)
            sent.answers[document.number] = answer
            return answer

        sent.stopped = (await self._sender.each(queues.values(), one)).stopped
        return sent

    async def _document(self, document: Items, read_at: datetime) -> tuple[Items, Answer]:
        answer = Answer(Verdict.DELIVERED)
        for item in document.items:
            if item.state is ItemState.INTENT:
                if item.kind is not ItemKind.INVOICE and _invoice_is_missing(document):
                    break
                answer = await self._item(document, item, read_at)
                document = replace(
                    document,
                    items=tuple(
                        self._after(each, answer) if each.place == item.place else each for each in document.items
                    ),
                )
                if answer.verdict in (Verdict.AGAIN, Verdict.STOP):
                    break
        return document, answer

    async def _item(self, document: Items, item: Item, read_at: datetime) -> Answer:
        before = self._clock() - REMEMBERED
        if item.attempt > 1 or item.at < before or document.issued_at < before:
            found = await self._look_up(document, item)
            if found is not None:
                return found
        key = document.idempotency_key(item)
        action, of, params = _asked(document, item)
        kind = "invoice_items" if item.kind is ItemKind.ITEM else "invoices"
        answer = await self._sender.act(partial(self._gateway.act, kind, action, params, key, of), read_at)
        if answer.verdict in (Verdict.REFUSED, Verdict.SPENT):
            return await self._look_up(document, item) or answer
        return answer

    async def _look_up(self, document: Items, item: Item) -> Answer | None:
        """Delivered, where it is at Stripe; None, where it is not; else why that cannot be said."""
        invoice = document.find(ItemKind.INVOICE)
        if item.kind is ItemKind.ITEM:
            wanted: Callable[[Found], bool] = partial(is_of, document.number, str(item.line))
        elif item.kind is ItemKind.INVOICE:
            wanted = partial(is_of, document.number, None)
        else:
            wanted = partial(_is_done, invoice.id if invoice is not None else "", item.kind)
        kind = "invoice_items" if item.kind is ItemKind.ITEM else "invoices"
        call = partial(self._gateway.search, kind, {"customer": document.customer}, wanted)
        found = await self._sender.ask(call)
        if isinstance(found, Answer):
            return None if found.verdict is Verdict.REFUSED else found
        return Answer(Verdict.DELIVERED, id=str(found[0]["id"])) if found else None

    def _after(self, item: Item, answer: Answer) -> Item:
        match answer.verdict:
            case Verdict.DELIVERED:
                state, attempt = ItemState.DELIVERED, item.attempt
            case Verdict.REFUSED:
                state, attempt = ItemState.REFUSED, item.attempt
            case Verdict.SPENT:
                state, attempt = ItemState.INTENT, item.attempt + 1
            case Verdict.AGAIN | Verdict.STOP:
                return item
        return replace(
            item,
            state=state,
            attempt=attempt,
            at=self._clock(),
            id=answer.id,
            detail=answer.detail,
            request_id=answer.request_id,
        )


def is_of(number: str, line: str | None, found: Found) -> bool:
    """Whether an object at Stripe is that of a document or, with ``line``, of a line of it."""
    metadata = found.get("metadata") or {}
    return metadata.get(INVOICE) == number and (line is None or metadata.get(LINE) == line)


def _is_done(invoice: str, kind: ItemKind, found: Found) -> bool:
    done = found["status"] != "draft" or (kind is ItemKind.ADVANCE and found["auto_advance"])
    return found["id"] == invoice and bool(done)


def _invoice_is_missing(document: Items) -> bool:
    invoice = document.find(ItemKind.INVOICE)
    return invoice is not None and invoice.state is not ItemState.DELIVERED


def _asked(document: Items, item: Item) -> tuple[str, str, dict[str, Any]]:
    """What is asked of Stripe: the action, of which object, and with what. The same each time for the same key."""
    invoice = document.find(ItemKind.INVOICE)
    metadata = {INVOICE: document.number, TENANT: document.tenant_id}
    match item.kind:
        case ItemKind.INVOICE:
            about = f"{document.number}{f', credit for {document.of}' if document.of else ''}"
            return "create", "", {
                "customer": document.customer,
                "currency": document.currency,
                "auto_advance": False,
                "pending_invoice_items_behavior": "exclude",
                "description": about,
                "metadata": metadata,
            }  # fmt: skip
        case ItemKind.ITEM:
            return "create", "", {
                "customer": document.customer,
                "amount": item.amount,
                "currency": document.currency,
                "description": item.description,
                "period": {"start": _seconds(item.start), "end": _seconds(item.end)},
                "metadata": metadata | {LINE: str(item.line)} | ({METRIC: item.metric} if item.metric else {}),
                **({"invoice": invoice.id} if invoice is not None else {}),
            }  # fmt: skip
        case ItemKind.ADVANCE:
            return "update", invoice.id if invoice is not None else "", {"auto_advance": True}
        case ItemKind.FINALIZE:
            return "finalize_invoice", invoice.id if invoice is not None else "", {}


def _seconds(at: datetime | None) -> int:
    return int(at.timestamp()) if at is not None else 0
