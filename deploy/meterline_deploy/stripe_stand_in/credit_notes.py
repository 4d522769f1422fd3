"""Credit notes: what is taken off an invoice that stands."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in import invoices
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def create(account: Account, params: Params) -> Document:
    """Of an open invoice it makes less due; of a paid one the amount is given to the customer, as credit or outside."""
    params.needed("invoice", "amount")
    invoice = account.the("invoice", params.must("invoice"), "invoice")
    amount = params.whole("amount", 1) or 0
    credit, outside = params.whole("credit_amount", 0) or 0, params.whole("out_of_band_amount", 0) or 0
    reason = params.choice("reason", "duplicate", "fraudulent", "order_change", "product_unsatisfactory")
    memo, metadata = params.text("memo"), params.mapping("metadata")
    params.finish()
    if invoice["status"] not in ("open", "paid"):
        raise invalid(
            f"A credit note needs an open or paid invoice; {invoice['id']} is {invoice['status']}.", "invoice"
        )
    whole, settled = invoices.shown(account, invoice), invoice["status"] == "paid"
    left = whole["amount_paid"] - whole["post_payment_credit_notes_amount"] if settled else whole["amount_remaining"]
    if amount > left:
        raise invalid(f"The credit note's amount ({amount}) is more than the invoice has left ({left}).", "amount")
    if credit + outside != (amount if settled else 0):
        raise invalid(
            "The sum of `credit_amount` and `out_of_band_amount` must equal the amount for a paid invoice,  "
            "and 0 for an open one.", "amount",
        )  # fmt: skip
    customer = account.the("customer", invoice["customer"])
    if credit:
        account.change("customer", customer, balance=customer["balance"] - credit)
    number = len(account.store.find("credit_note", "invoice", invoice["id"])) + 1
    note = account.add("credit_note", {
        "id": account.identity("cn"), "object": "credit_note", "amount": amount, "created": account.now,
        "currency": invoice["currency"], "customer": invoice["customer"], "effective_at": account.now,
        "invoice": invoice["id"], "livemode": False, "memo": memo, "metadata": metadata,
        "number": f"{invoice['number']}-CN-{number:02d}", "out_of_band_amount": outside or None,
        "post_payment_amount": amount if settled else 0, "pre_payment_amount": 0 if settled else amount,
        "reason": reason, "status": "issued", "subtotal": amount, "total": amount,
        "type": "post_payment" if settled else "pre_payment", "voided_at": None,
    })  # fmt: skip
    if not settled and amount == left:
        invoices.paid(account, invoice, account.now)
    return note


def retrieve(account: Account, params: Params, note: str) -> Document:
    params.finish()
    return account.the("credit_note", note)


def listing(account: Account, params: Params) -> Document:
    invoice, customer = params.text("invoice"), params.text("customer")
    notes = account.store.every("credit_note")
    if invoice is not None:
        notes = account.store.find("credit_note", "invoice", invoice)
    return listed(params, [each for each in notes if customer in (None, each["customer"])], "/v1/credit_notes")
