"""Whether Stripe has, of each document that is charged by items, what the ledger says and the document comes to.

Nothing is put right by itself: what is missing at Stripe somebody took away, and what is there too often somebody else
made. Pure core first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import groupby, islice
from typing import Any, Final

from meterline_api.billing.stripe.answers import Answer, Verdict
from meterline_api.billing.stripe.items.ledger import ItemLedger
from meterline_api.billing.stripe.items.plan import NotExactError, in_units
from meterline_api.billing.stripe.items.sending import INVOICE, LINE, Gateway
from meterline_api.billing.stripe.pusher import MOST_PROBLEMS, Beat, nobody_waits
from meterline_api.billing.stripe.sending import Sender
from meterline_schemas.billing.invoice import Invoice
from meterline_schemas.billing.item import ItemKind, Items, ItemState

_AT_ONCE: Final = 100  # customers that are asked for together

Found = Mapping[str, Any]
Documents = Callable[[Sequence[str]], Awaitable[Mapping[str, Invoice]]]
"""Documents by their numbers, as they were written; one that is not found is left out."""


class Kind(StrEnum):
    """Closed. ``stripe_lacks``, ``stripe_more``, ``stripe_differs``: beside what the ledger says that it took.

    ``not_there``: a line of a document that is not at Stripe, yet or at all. ``ledger_differs``: the ledger has another
    amount than the document.
    """

    STRIPE_LACKS = "stripe_lacks"
    STRIPE_MORE = "stripe_more"
    STRIPE_DIFFERS = "stripe_differs"
    NOT_THERE = "not_there"
    LEDGER_DIFFERS = "ledger_differs"


@dataclass(frozen=True)
class Difference:
    """Amounts are in Stripe's units; None where there is none."""

    tenant_id: str
    customer: str
    number: str
    line: str
    kind: Kind
    document: int | None
    ledger: int | None
    stripe: int | None
    detail: str = ""

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name} {'nothing' if amount is None else amount}"
            for name, amount in (("document", self.document), ("ledger", self.ledger), ("Stripe", self.stripe))
        )
        whose = f"tenant {self.tenant_id!r}, {self.number}, line {self.line}" if self.number else "an unknown document"
        return f"{whose}: {shown} (customer {self.customer}){f': {self.detail}' if self.detail else ''}"


@dataclass
class Compared:
    """``items`` were compared; ``unknown`` is what Stripe did not answer for."""

    items: int = 0
    kinds: dict[Kind, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        self.kinds[difference.kind] = self.kinds.get(difference.kind, 0) + 1
        if len(self.differences) < MOST_PROBLEMS:
            self.differences.append(difference)


def differences(
    ledger: Sequence[Items], stripe: Sequence[Found], documents: Mapping[str, Invoice]
) -> Iterator[Difference]:
    """Of one customer: the ledger, the customer's items at Stripe that name a document, and the documents."""
    there: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for found in stripe:
        there[found["metadata"][INVOICE], found["metadata"].get(LINE, "")].append(found)
    customer = ledger[0].customer
    for items in ledger:
        document = documents.get(items.number)
        for item in items.items:
            if item.kind is not ItemKind.ITEM:
                continue
            at_stripe = there.pop((items.number, str(item.line)), [])
            amount = sum(int(each["amount"]) for each in at_stripe) if at_stripe else None
            told = item.amount if item.state is ItemState.DELIVERED else None
            due = _due(document, item.line)
            differ = partial(Difference, items.tenant_id, customer, items.number, str(item.line))
            if document is not None and item.state is not ItemState.LEFT and due != item.amount:
                yield differ(Kind.LEDGER_DIFFERS, due, item.amount, amount)
            if item.state is ItemState.LEFT and at_stripe:
                yield differ(Kind.STRIPE_MORE, due, None, amount, item.detail)
            elif len(at_stripe) > 1 or (at_stripe and item.state is ItemState.DUE):
                yield differ(Kind.STRIPE_MORE, due, told, amount, ", ".join(str(each["id"]) for each in at_stripe))
            elif item.state is ItemState.DELIVERED and amount is None:
                yield differ(Kind.STRIPE_LACKS, due, told, None, f"{item.id} is gone")
            elif item.state is ItemState.DELIVERED and amount != told:
                yield differ(Kind.STRIPE_DIFFERS, due, told, amount)
            elif item.state not in (ItemState.DELIVERED, ItemState.LEFT) and not at_stripe:
                yield differ(Kind.NOT_THERE, due, None, None, item.detail or f"it is {item.state}")
            elif item.state is ItemState.LEFT and document is not None and due is None:
                yield differ(Kind.NOT_THERE, None, None, None, item.detail)
    for (number, line), at_stripe in there.items():
        amount = sum(int(each["amount"]) for each in at_stripe)
        named = ", ".join(str(each["id"]) for each in at_stripe)
        tenant = str(at_stripe[0]["metadata"].get("meterline_tenant", ""))
        yield Difference(tenant, customer, number, line, Kind.STRIPE_MORE, None, None, amount, named)


class ItemReconciler:
    """``beat`` is awaited between customers and may raise."""

    def __init__(self, ledger: ItemLedger, gateway: Gateway, sender: Sender, beat: Beat = nobody_waits) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._sender = sender
        self._beat = beat

    async def reconcile(self, documents: Documents) -> Compared:
        """Compare all of it; nothing is changed anywhere.

        Raises:
            UnavailableError: Kafka does not answer, or where ``documents`` come from.
            ItemsError: a record cannot be read.
        """
        compared = Compared()
        await asyncio.to_thread(self._ledger.read)
        groups = (list(items) for _, items in groupby(self._ledger.copy.by_customer(), key=lambda each: each.customer))
        while chunk := await asyncio.to_thread(lambda: list(islice(groups, _AT_ONCE))):
            await self._beat()
            found = await documents([items.number for group in chunk for items in group])
            await asyncio.gather(*(self._compare(group, found, compared) for group in chunk))
        return compared

    async def _compare(self, group: Sequence[Items], documents: Mapping[str, Invoice], compared: Compared) -> None:
        customer = group[0].customer
        ask = partial(self._gateway.search, "invoice_items", {"customer": customer}, _names_a_document)
        found = await self._sender.ask(ask)
        if isinstance(found, Answer):
            said = "refused" if found.verdict is Verdict.REFUSED else "did not answer"
            compared.unknown.append(f"customer {customer}: Stripe {said}: {found.detail}")
            return
        compared.items += sum(item.kind is ItemKind.ITEM for items in group for item in items.items)
        for difference in differences(group, found, documents):
            compared.add(difference)


def _names_a_document(found: Found) -> bool:
    return INVOICE in (found.get("metadata") or {})


def _due(document: Invoice | None, line: int) -> int | None:
    if document is None or not 1 <= line <= len(document.lines):
        return None
    try:
        return in_units(document.lines[line - 1].amount, document.currency)
    except NotExactError:
        return None
