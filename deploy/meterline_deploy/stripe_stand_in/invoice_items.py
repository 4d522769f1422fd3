"""Invoice items: amounts that wait for a customer's next invoice, or are put on a draft; negative ones as well."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from meterline_deploy.stripe_stand_in import customers
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.prices import PLACES, plain
from meterline_deploy.stripe_stand_in.rating import rounded
from meterline_deploy.stripe_stand_in.store import Document

MOST: Final = 250
"""Items of one invoice."""


def create(account: Account, params: Params) -> Document:
    params.needed("customer")
    customer = customers.living(account, params.must("customer"))["id"]
    currency = (params.text("currency", 3) or "usd").lower()
    amount, unit, quantity = amount_of(params)
    period = params.group("period")
    if params.has("period"):
        period.needed("start", "end")
    now = account.now
    start, end = period.whole("start", 0), period.whole("end", 0)
    description, metadata = params.text("description"), params.mapping("metadata")
    invoice, subscription = params.text("invoice"), params.text("subscription")
    discountable = params.flag("discountable")
    params.finish()
    if start is not None and end is not None and start > end:
        raise invalid("The period's end must be after its start.", "period[end]")
    if invoice is not None:
        draft = account.the("invoice", invoice, "invoice")
        if draft["status"] != "draft" or draft["customer"] != customer or draft["currency"] != currency:
            raise invalid(
                f"Items can be added to a draft invoice of the same customer and currency; {invoice} is none.",
                "invoice",
            )
        if len(account.store.find("invoiceitem", "invoice", invoice)) >= MOST:
            raise invalid(f"An invoice has at most {MOST} items.", "invoice")
    if subscription is not None:
        account.the("subscription", subscription, "subscription")
    parent = {"type": "subscription_details", "subscription_details": {"subscription": subscription}}
    return account.add("invoiceitem", {
        "id": account.identity("ii"), "object": "invoiceitem", "amount": amount, "currency": currency,
        "customer": customer, "date": now, "description": description, "discountable": discountable is not False,
        "discounts": [], "invoice": invoice, "livemode": False, "metadata": metadata, "net_amount": amount,
        "parent": parent if subscription else None,
        "period": {"start": now if start is None else start, "end": now if end is None else end},
        "pricing": {"type": "price_details", "unit_amount_decimal": plain(unit)}, "proration": False,
        "quantity": int(quantity), "quantity_decimal": plain(quantity), "tax_rates": [], "test_clock": None,
        "_subscription": subscription,
    })  # fmt: skip


def held(account: Account, params: Params) -> str | None:
    """A customer takes one item at a time."""
    customer = params.text("customer")
    return f"items of {customer}" if customer else None


def amount_of(params: Params) -> tuple[int, Decimal, Decimal]:
    """The amount in minor units, that of one unit, and how many: ``amount``, or a quantity with a unit amount."""
    amount = params.whole("amount")
    unit = params.decimal("unit_amount_decimal", PLACES)
    whole, exact = params.whole("quantity", 0), params.decimal("quantity_decimal", PLACES)
    if whole is not None and exact is not None:
        raise invalid("You may only specify one of these parameters: quantity, quantity_decimal.", "quantity")
    quantity = exact if exact is not None else Decimal(1 if whole is None else whole)
    if quantity < 0:
        raise invalid("Invalid quantity_decimal: must be at least 0", "quantity_decimal")
    if amount is not None and unit is None:
        if whole is not None or exact is not None:
            raise invalid("You may only specify one of these parameters: amount, quantity.", "amount")
        return amount, Decimal(amount), Decimal(1)
    if amount is not None or unit is None:
        raise invalid("You must pass one of `amount` and `unit_amount_decimal`.", "amount", "parameter_missing")
    return rounded(unit * quantity), unit, quantity


def retrieve(account: Account, params: Params, item: str) -> Document:
    params.finish()
    return account.the("invoiceitem", item)


def update(account: Account, params: Params, item: str) -> Document:
    found = changeable(account, item)
    amount = params.whole("amount")
    amount = found["amount"] if amount is None else amount
    description = params.text("description") or found["description"]
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    return account.change(
        "invoiceitem", found, amount=amount, net_amount=amount, description=description, metadata=metadata
    )


def delete(account: Account, params: Params, item: str) -> Document:
    params.finish()
    changeable(account, item)
    account.store.delete("invoiceitem", item)
    return {"id": item, "object": "invoiceitem", "deleted": True}


def changeable(account: Account, item: str) -> Document:
    """Raises StripeError: its invoice is no draft any more."""
    found = account.the("invoiceitem", item)
    if found["invoice"] is not None and account.the("invoice", found["invoice"])["status"] != "draft":
        raise invalid("This invoice item is on a finalized invoice and can no longer be changed.")
    return found


def listing(account: Account, params: Params) -> Document:
    customer, invoice, pending = params.text("customer"), params.text("invoice"), params.flag("pending")
    items = account.store.every("invoiceitem")
    if customer is not None:
        items = account.store.find("invoiceitem", "customer", customer)
    items = [
        each for each in items if invoice in (None, each["invoice"]) and pending in (None, each["invoice"] is None)
    ]
    return listed(params, items, "/v1/invoiceitems")


def pull(account: Account, invoice: Document) -> None:
    """Put what waits for an invoice of this customer, currency and subscription on this one, the oldest first."""
    subscription = invoice["_subscription"]
    room = MOST - len(account.store.find("invoiceitem", "invoice", invoice["id"]))
    waiting = [
        each
        for each in account.store.find("invoiceitem", "customer", invoice["customer"])
        if each["invoice"] is None
        and each["currency"] == invoice["currency"]
        and each["_subscription"] in (None, subscription)
    ]
    for item in waiting[:room]:
        account.change("invoiceitem", item, invoice=invoice["id"])
