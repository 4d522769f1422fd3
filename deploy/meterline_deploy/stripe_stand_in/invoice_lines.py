"""The lines of an invoice: what was agreed on, what meters counted, and the items that were put on it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from meterline_deploy.stripe_stand_in import meter_events
from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.rating import cost, rounded
from meterline_deploy.stripe_stand_in.store import Document
from meterline_deploy.stripe_stand_in.usage import amount, billed


def of(account: Account, invoice: Document) -> list[Document]:
    """As they are now: a draft's change with its meters and items, a finalized invoice's no more."""
    if invoice["_lines"] is not None:
        return list(invoice["_lines"])
    metered = [usage(account, invoice, each) for each in invoice["_usage"]]
    items = account.store.find("invoiceitem", "invoice", invoice["id"])
    return [*invoice["_agreed"], *metered, *(item(invoice, each) for each in items)]


def usage(account: Account, invoice: Document, asked: dict[str, Any]) -> Document:
    """What a meter counted of the customer in the period, by the price of the subscription item."""
    bought, start, end = asked["item"], asked["start"], asked["end"]
    price = bought["price"]
    meter = account.the("meter", price["recurring"]["meter"])
    readings = meter_events.readings(account, meter["id"], invoice["customer"])
    counted = billed(readings, meter["event_time_window"], start, end)
    quantity = max(amount(counted, meter["default_aggregation"]["formula"]), 0)
    return line(account, invoice, bought, quantity, rounded(cost(price, quantity)), start, end)


def agreed(account: Account, invoice: Document, bought: Document, share: Decimal, start: int, end: int) -> Document:
    """A licensed item's part of a period, in advance."""
    total = rounded(cost(bought["price"], bought["quantity"]) * share)
    return line(account, invoice, bought, bought["quantity"], total, start, end)


def line(
    account: Account, invoice: Document, bought: Document, quantity: int, total: int, start: int, end: int
) -> Document:
    price = bought["price"]
    product = account.the("product", price["product"])
    parent = {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None, "proration": False, "proration_details": None,
            "subscription": bought["subscription"], "subscription_item": bought["id"],
        },
    }  # fmt: skip
    pricing = {
        "type": "price_details",
        "price_details": {"price": price["id"], "product": price["product"]},
        "unit_amount_decimal": price["unit_amount_decimal"],
    }
    name = f"{quantity} × {product['name']}"
    identity = f"il_{invoice['id']}_{bought['id']}_{start}"
    return shape(invoice, identity, total, name, quantity, start, end, parent, pricing, bought["metadata"])


def item(invoice: Document, each: Document) -> Document:
    parent = {
        "type": "invoice_item_details",
        "invoice_item_details": {
            "invoice_item": each["id"], "proration": False, "proration_details": None,
            "subscription": each["_subscription"],
        },
        "subscription_item_details": None,
    }  # fmt: skip
    period, pricing = each["period"], each["pricing"]
    return shape(
        invoice, f"il_{each['id']}", each["amount"], each["description"], each["quantity"], period["start"],
        period["end"], parent, pricing, each["metadata"],
    )  # fmt: skip


def shape(
    invoice: Document, identity: str, total: int, description: str | None, quantity: int, start: int, end: int,
    parent: Document, pricing: Document, metadata: dict[str, str],
) -> Document:  # fmt: skip
    return {
        "id": identity, "object": "line_item", "amount": total, "currency": invoice["currency"],
        "description": description, "discount_amounts": [], "discountable": True, "discounts": [],
        "invoice": invoice["id"], "livemode": False, "metadata": metadata, "parent": parent,
        "period": {"start": start, "end": end}, "pretax_credit_amounts": [], "pricing": pricing, "quantity": quantity,
        "subtotal": total, "taxes": [],
    }  # fmt: skip
