"""Invoices: a draft, then open, then paid, uncollectible or void."""

from __future__ import annotations

from typing import Any, Final

from meterline_deploy.stripe_stand_in import customers, events, invoice_items, invoice_lines
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import StripeError, invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document

EMBEDDED: Final = 10
"""Lines that an invoice carries; more of them are listed at their own address."""
RETRY_SECONDS: Final = 3 * 86_400
ATTEMPTS: Final = 4


def create(account: Account, params: Params) -> Document:
    params.needed("customer")
    customer = customers.living(account, params.must("customer"))
    subscription = params.text("subscription")
    pending = params.choice("pending_invoice_items_behavior", "exclude", "include")
    currency = params.text("currency", 3)
    collection = params.choice("collection_method", "charge_automatically", "send_invoice") or "charge_automatically"
    days, advance = params.whole("days_until_due", 0), params.flag("auto_advance") is True
    description, metadata = params.text("description"), params.mapping("metadata")
    params.finish()
    if subscription is not None:
        found = account.the("subscription", subscription, "subscription")
        currency = currency or found["currency"]
    if currency is None:
        waiting = account.store.find("invoiceitem", "customer", customer["id"])
        currency = next((each["currency"] for each in waiting if each["invoice"] is None), "usd")
    finalizes = account.now + 3_600 if advance else None
    invoice = draft(
        account, customer, currency.lower(), "manual", account.now, account.now, account.now,
        subscription=subscription, collection_method=collection, days_until_due=days, description=description,
        metadata=metadata, auto_advance=advance, automatically_finalizes_at=finalizes,
    )  # fmt: skip
    if pending == "include" or (subscription is not None and pending is None):
        invoice_items.pull(account, invoice)
    return created(account, invoice)


def draft(
    account: Account, customer: Document, currency: str, reason: str, at: int, start: int, end: int, *,
    subscription: str | None, collection_method: str, days_until_due: int | None, **fields: Any,
) -> Document:  # fmt: skip
    """A draft without lines; whoever makes it fills it and then calls ``created``."""
    parent = {"type": "subscription_details", "subscription_details": {"metadata": {}, "subscription": subscription}}
    return account.add("invoice", {
        "id": account.identity("in"), "object": "invoice", "attempt_count": 0, "attempted": False,
        "auto_advance": False, "automatically_finalizes_at": None, "billing_reason": reason,
        "collection_method": collection_method, "created": at, "currency": currency, "customer": customer["id"],
        "customer_email": customer["email"], "customer_name": customer["name"], "description": None, "due_date": None,
        "effective_at": None, "ending_balance": None, "livemode": False, "metadata": {}, "next_payment_attempt": None,
        "number": None, "parent": parent if subscription else None, "period_end": end, "period_start": start,
        "starting_balance": customer["balance"], "status": "draft",
        "status_transitions": {
            "finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None,
        },
        "test_clock": None, "_subscription": subscription, "_days": days_until_due, "_usage": [], "_agreed": [],
        "_lines": None, "_paid": 0, **fields,
    })  # fmt: skip


def created(account: Account, invoice: Document) -> Document:
    return told(account, "created", account.the("invoice", invoice["id"]))


def told(account: Account, what: str, invoice: Document) -> Document:
    whole = shown(account, invoice)
    events.snapshot(account, f"invoice.{what}", whole)
    return whole


def shown(account: Account, invoice: Document) -> Document:
    """With its lines and with what they and credit notes amount to."""
    lines = invoice_lines.of(account, invoice)
    total = sum(each["amount"] for each in lines)
    notes = [each for each in account.store.find("credit_note", "invoice", invoice["id"]) if each["status"] == "issued"]
    credit = {kind: sum(each[f"{kind}_payment_amount"] for each in notes) for kind in ("pre", "post")}
    due = max(total + invoice["starting_balance"], 0) - credit["pre"]
    return {
        **invoice, "amount_due": due, "amount_paid": invoice["_paid"], "amount_remaining": due - invoice["_paid"],
        "lines": {
            "object": "list", "data": lines[:EMBEDDED], "has_more": len(lines) > EMBEDDED,
            "url": f"/v1/invoices/{invoice['id']}/lines",
        },
        "post_payment_credit_notes_amount": credit["post"], "pre_payment_credit_notes_amount": credit["pre"],
        "subtotal": total, "total": total,
    }  # fmt: skip


def retrieve(account: Account, params: Params, invoice: str) -> Document:
    params.finish()
    return shown(account, account.the("invoice", invoice))


def list_lines(account: Account, params: Params, invoice: str) -> Document:
    lines = invoice_lines.of(account, account.the("invoice", invoice))
    return listed(params, lines[::-1], f"/v1/invoices/{invoice}/lines")


def listing(account: Account, params: Params) -> Document:
    customer, subscription = params.text("customer"), params.text("subscription")
    status = params.choice("status", "draft", "open", "paid", "uncollectible", "void")
    found = account.store.every("invoice")
    if customer is not None:
        found = account.store.find("invoice", "customer", customer)
    found = [
        each for each in found if status in (None, each["status"]) and subscription in (None, each["_subscription"])
    ]
    page = listed(params, found, "/v1/invoices")
    return {**page, "data": [shown(account, each) for each in page["data"]]}


def update(account: Account, params: Params, invoice: str) -> Document:
    found = account.the("invoice", invoice)
    advance, description = params.flag("auto_advance"), params.text("description") or found["description"]
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    advance = found["auto_advance"] if advance is None else advance
    finalizes = found["automatically_finalizes_at"]
    if found["status"] == "draft":
        finalizes = (finalizes or account.now + 3_600) if advance else None
    return told(account, "updated", account.change(
        "invoice", found, auto_advance=advance, description=description, metadata=metadata,
        automatically_finalizes_at=finalizes,
    ))  # fmt: skip


def finalize(account: Account, params: Params, invoice: str) -> Document:
    found = expect(account.the("invoice", invoice), "finalized", "draft")
    advance = params.flag("auto_advance")
    params.finish()
    if advance is not None:
        found = account.change("invoice", found, auto_advance=advance)
    return finalized(account, found, account.now)


def finalized(account: Account, invoice: Document, at: int) -> Document:
    """From now on nothing changes its lines. What a customer has as credit is used; what is below 0 becomes credit."""
    customer = account.the("customer", invoice["customer"])
    lines = invoice_lines.of(account, invoice)
    starting, total = customer.get("balance", 0), sum(each["amount"] for each in lines)
    number = None
    if not customer.get("deleted"):
        sequence = customer["next_invoice_sequence"]
        number = f"{customer['invoice_prefix']}-{sequence:04d}"
        account.change("customer", customer, balance=min(starting + total, 0), next_invoice_sequence=sequence + 1)
    days = invoice["_days"]
    opened = account.change(
        "invoice", invoice, status="open", number=number, effective_at=at, starting_balance=starting,
        ending_balance=min(starting + total, 0), automatically_finalizes_at=None, _lines=lines,
        due_date=None if days is None else at + days * 86_400,
        status_transitions={**invoice["status_transitions"], "finalized_at": at},
    )  # fmt: skip
    whole = told(account, "finalized", opened)
    if whole["amount_due"] == 0:
        return paid(account, opened, at)
    if opened["auto_advance"] and opened["collection_method"] == "charge_automatically":
        return attempted(account, opened, at)
    return whole


def pay(account: Account, params: Params, invoice: str) -> Document:
    """Raises StripeError (402): the payment failed, which the invoice remembers."""
    found = expect(account.the("invoice", invoice), "paid", "open", "uncollectible")
    outside = params.flag("paid_out_of_band")
    params.finish()
    if outside:
        return paid(account, found, account.now)
    whole = attempted(account, found, account.now)
    if whole["status"] != "paid":
        raise StripeError(402, "Your card was declined.", kind="card_error", code="card_declined", keep=True)
    return whole


def attempted(account: Account, invoice: Document, at: int) -> Document:
    attempts = invoice["attempt_count"] + 1
    tried = account.change("invoice", invoice, attempt_count=attempts, attempted=True, next_payment_attempt=None)
    if account.settings.payments == "succeed":
        return paid(account, tried, at)
    if account.settings.payments == "confirm":
        return told(account, "payment_action_required", tried)
    again = at + RETRY_SECONDS if tried["auto_advance"] and attempts < ATTEMPTS else None
    return told(account, "payment_failed", account.change("invoice", tried, next_payment_attempt=again))


def paid(account: Account, invoice: Document, at: int) -> Document:
    due = shown(account, invoice)["amount_due"]
    done = account.change(
        "invoice", invoice, status="paid", next_payment_attempt=None, _paid=due,
        status_transitions={**invoice["status_transitions"], "paid_at": at},
    )  # fmt: skip
    return told(account, "paid", done)


def void(account: Account, params: Params, invoice: str) -> Document:
    found = expect(account.the("invoice", invoice), "voided", "open", "uncollectible")
    params.finish()
    moments = {**found["status_transitions"], "voided_at": account.now}
    changed = account.change("invoice", found, status="void", next_payment_attempt=None, status_transitions=moments)
    return told(account, "voided", changed)


def mark_uncollectible(account: Account, params: Params, invoice: str) -> Document:
    found = expect(account.the("invoice", invoice), "marked uncollectible", "open")
    params.finish()
    moments = {**found["status_transitions"], "marked_uncollectible_at": account.now}
    changed = account.change(
        "invoice", found, status="uncollectible", next_payment_attempt=None, status_transitions=moments
    )
    return told(account, "marked_uncollectible", changed)


def expect(invoice: Document, what: str, *statuses: str) -> Document:
    if invoice["status"] not in statuses:
        raise invalid(
            f"This invoice is {invoice['status']} and cannot be {what}: it must be {' or '.join(statuses)}.",
            code="invoice_not_editable" if invoice["status"] != "draft" else None,
        )
    return invoice
