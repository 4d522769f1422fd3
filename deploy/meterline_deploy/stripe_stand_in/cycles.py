"""What time brings: periods end and are invoiced, drafts are finalized, payments tried again."""

from __future__ import annotations

from decimal import Decimal

from meterline_deploy.stripe_stand_in import invoice_items, invoice_lines, invoices, periods
from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.store import Document


def run(account: Account) -> None:
    """Everything that is due by the account's clock, in the order in which it fell due."""
    now = account.now
    while due := sorted(_due(account, now)):
        for at, kind, identity in due:
            document = account.the(kind, identity)
            if kind == "subscription":
                _roll(account, document, at)
            elif document["status"] == "draft":
                invoices.finalized(account, document, at)
            else:
                invoices.attempted(account, document, at)


def _due(account: Account, now: int) -> list[tuple[int, str, str]]:
    """Only one thing of each subscription, so that a later period never overtakes its earlier invoice."""
    store = account.store
    found = [(each["_end"], "subscription", each["id"]) for each in store.find("subscription", "status", "active")]
    for status, name in (("draft", "automatically_finalizes_at"), ("open", "next_payment_attempt")):
        waiting = [each for each in store.find("invoice", "status", status) if each[name] is not None]
        found += [(each[name], "invoice", each["id"]) for each in waiting]
    return [each for each in found if each[0] <= now]


def _roll(account: Account, subscription: Document, at: int) -> None:
    ending = subscription["cancel_at_period_end"]
    interval, count = subscription["_rhythm"]
    following = periods.following(at, interval, count, subscription["billing_cycle_anchor"])
    of_period(account, subscription, at, subscription, ahead=None if ending else (at, following))
    current = account.the("subscription", subscription["id"])
    if ending:
        account.change("subscription", current, status="canceled", ended_at=at)
    else:
        account.change("subscription", current, _start=at, _end=following)


def opening(account: Account, subscription: Document, share: Decimal) -> None:
    """The first invoice: licensed items' part of the first period, in advance. None where all items are metered."""
    start, end = subscription["_start"], subscription["_end"]
    licensed = [each for each in _items(account, subscription) if each["quantity"] is not None]
    if not licensed or share == 0:
        return
    draft = _draft(account, subscription, start, start, start, "subscription_create")
    lines = [invoice_lines.agreed(account, draft, each, share, start, end) for each in licensed]
    draft = account.change("invoice", draft, _agreed=lines)
    invoices.created(account, draft)
    invoices.finalized(account, draft, start)
    _latest(account, draft)


def of_period(
    account: Account, subscription: Document, at: int, period: Document, *,
    advance: bool = True, ahead: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """The invoice of what meters counted in a period, of licensed items in the one ``ahead``, and of waiting items."""
    start, end = period["_start"], period["_end"]
    draft = _draft(account, subscription, at, start, end, "subscription_cycle" if advance else "manual")
    items = _items(account, subscription)
    usage = [
        {"item": each, "start": max(start, each["_since"]), "end": end} for each in items if each["quantity"] is None
    ]
    agreed = [
        invoice_lines.agreed(account, draft, each, Decimal(1), *ahead)
        for each in items
        if ahead and each["quantity"] is not None
    ]
    draft = account.change(
        "invoice", draft, _usage=usage, _agreed=agreed, auto_advance=advance,
        automatically_finalizes_at=at + int(account.settings.finalize_seconds) if advance else None,
    )  # fmt: skip
    invoice_items.pull(account, draft)
    invoices.created(account, draft)
    _latest(account, draft)


def _items(account: Account, subscription: Document) -> list[Document]:
    return account.store.find("subscription_item", "subscription", subscription["id"])


def _draft(account: Account, subscription: Document, at: int, start: int, end: int, reason: str) -> Document:
    customer = account.the("customer", subscription["customer"])
    nobody = {"balance": 0, "email": None, "name": None}
    return invoices.draft(
        account, {**nobody, **customer}, subscription["currency"], reason, at, start, end,
        subscription=subscription["id"], collection_method=subscription["collection_method"],
        days_until_due=subscription["days_until_due"], auto_advance=True,
    )  # fmt: skip


def _latest(account: Account, draft: Document) -> None:
    subscription = account.the("subscription", draft["_subscription"])
    account.change("subscription", subscription, latest_invoice=draft["id"])
