"""Subscriptions: which prices a customer is billed by, from when, in which periods."""

from __future__ import annotations

from decimal import Decimal

from meterline_deploy.stripe_stand_in import customers, cycles, periods
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document

ANCHOR = {"day_of_month": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


def create(account: Account, params: Params) -> Document:
    params.needed("customer", "items")
    customer = customers.living(account, params.must("customer"))
    wanted = [item_of(account, group) for group in params.groups("items")]
    anchor, config = anchor_of(account, params)
    collection = params.choice("collection_method", "charge_automatically", "send_invoice") or "charge_automatically"
    days_until_due = params.whole("days_until_due", 0)
    prorated = params.choice("proration_behavior", "create_prorations", "none") != "none"
    description, metadata = params.text("description", 500), params.mapping("metadata")
    params.finish()
    if (collection == "send_invoice") != (days_until_due is not None):
        raise invalid("`days_until_due` is for `collection_method=send_invoice`, which needs it.", "days_until_due")
    rhythm = rhythm_of([price for price, *_ in wanted])
    if config is not None and rhythm[0] != "month":
        raise invalid("`billing_cycle_anchor_config` needs monthly prices here.", "billing_cycle_anchor_config")
    identity, now = account.identity("sub"), account.now
    end = anchor if anchor > now else periods.following(now, *rhythm, anchor)
    subscription = account.add("subscription", {
        "id": identity, "object": "subscription", "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": config and {"month": None, **config}, "cancel_at": None,
        "cancel_at_period_end": False, "canceled_at": None, "collection_method": collection, "created": now,
        "currency": wanted[0][0]["currency"], "customer": customer["id"], "days_until_due": days_until_due,
        "description": description, "ended_at": None, "latest_invoice": None, "livemode": False, "metadata": metadata,
        "start_date": now, "status": "active", "test_clock": None, "_start": now, "_end": end, "_rhythm": list(rhythm),
        "_prorated": prorated,
    })  # fmt: skip
    for price, quantity, about in wanted:
        add_item(account, subscription, price, quantity, about)
    whole = periods.following(end - 1, *rhythm, anchor) - before(end, rhythm, anchor)
    share = Decimal(end - now) / Decimal(whole) if prorated else Decimal(1)
    cycles.opening(account, subscription, share if prorated or end - now == whole else Decimal(0))
    return shown(account, account.the("subscription", identity))


def before(end: int, rhythm: tuple[str, int], anchor: int) -> int:
    """When the full period that ends at ``end`` would have begun."""
    length = {"day": 1, "week": 7, "month": 31, "year": 366}[rhythm[0]] * rhythm[1] * 86_400
    at = periods.following(end - length - 86_400, *rhythm, anchor)
    while (later := periods.following(at, *rhythm, anchor)) < end:
        at = later
    return at


def rhythm_of(prices: list[Document]) -> tuple[str, int]:
    """Raises StripeError: they are billed in different rhythms or currencies."""
    rhythms = {(each["recurring"]["interval"], each["recurring"]["interval_count"]) for each in prices}
    if len(rhythms) > 1 or len({each["currency"] for each in prices}) > 1:
        raise invalid("All prices of a subscription must have one currency and one billing interval here.", "items")
    if not rhythms:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    return rhythms.pop()


def anchor_of(account: Account, params: Params) -> tuple[int, dict[str, int | None] | None]:
    at, now = params.whole("billing_cycle_anchor"), account.now
    group = params.group("billing_cycle_anchor_config")
    if not params.has("billing_cycle_anchor_config"):
        if at is not None and at < now:
            raise invalid("billing_cycle_anchor cannot be in the past here.", "billing_cycle_anchor")
        return at or now, None
    group.needed("day_of_month")
    config = {name: group.whole(name, *limits) for name, limits in ANCHOR.items()}
    return periods.anchored(now, config), config


def item_of(account: Account, group: Params) -> tuple[Document, int | None, dict[str, str]]:
    price = account.the("price", group.must("price"), group.name("price"))
    quantity, metadata = group.whole("quantity", 0), group.mapping("metadata")
    if price["recurring"] is None:
        raise invalid(f"The price {price['id']} is not recurring.", group.name("price"))
    if not price["active"]:
        raise invalid(f"The price specified is inactive: {price['id']}.", group.name("price"))
    if price["recurring"]["usage_type"] == "metered":
        if quantity is not None:
            raise invalid("Quantity cannot be specified for metered prices.", group.name("quantity"))
        return price, None, metadata
    return price, 1 if quantity is None else quantity, metadata


def add_item(
    account: Account, subscription: Document, price: Document, quantity: int | None, metadata: dict[str, str]
) -> Document:
    others = [each["price"]["id"] for each in items(account, subscription["id"])]
    if price["id"] in others:
        raise invalid(f"The subscription has an item with the price {price['id']} already.", "price")
    return account.add("subscription_item", {
        "id": account.identity("si"), "object": "subscription_item", "created": account.now, "discounts": [],
        "metadata": metadata, "price": price, "quantity": quantity, "subscription": subscription["id"],
        "tax_rates": [], "_since": account.now,
    })  # fmt: skip


def items(account: Account, subscription: str) -> list[Document]:
    return account.store.find("subscription_item", "subscription", subscription)


def shown(account: Account, subscription: Document) -> Document:
    identity = subscription["id"]
    found = [with_period(each, subscription) for each in items(account, identity)]
    url = f"/v1/subscription_items?subscription={identity}"
    return {**subscription, "items": {"object": "list", "data": found, "has_more": False, "url": url}}


def with_period(item: Document, subscription: Document) -> Document:
    """A metered item has no quantity."""
    found = {name: each for name, each in item.items() if name != "quantity" or each is not None}
    return {**found, "current_period_start": subscription["_start"], "current_period_end": subscription["_end"]}


def retrieve(account: Account, params: Params, subscription: str) -> Document:
    params.finish()
    return shown(account, account.the("subscription", subscription))


def update(account: Account, params: Params, subscription: str) -> Document:
    found = running(account, subscription)
    ending = params.flag("cancel_at_period_end")
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    ending = found["cancel_at_period_end"] if ending is None else ending
    account.change(
        "subscription", found, metadata=metadata, cancel_at_period_end=ending,
        cancel_at=found["_end"] if ending else None, canceled_at=account.now if ending else None,
    )  # fmt: skip
    return shown(account, account.the("subscription", subscription))


def cancel(account: Account, params: Params, subscription: str) -> Document:
    """Usage that was not invoiced is dropped, but with ``invoice_now``."""
    found = running(account, subscription)
    now, last = account.now, params.flag("invoice_now")
    params.finish()
    if last:
        cycles.of_period(account, found, now, {**found, "_end": now}, advance=False)
    ended = account.the("subscription", subscription)
    account.change("subscription", ended, status="canceled", canceled_at=now, ended_at=now)
    return shown(account, account.the("subscription", subscription))


def running(account: Account, subscription: str, param: str = "id") -> Document:
    found = account.the("subscription", subscription, param)
    if found["status"] == "canceled":
        raise invalid(f"The subscription {subscription} is canceled and cannot be changed.", param)
    return found


def listing(account: Account, params: Params) -> Document:
    """Without the canceled ones where no ``status`` is asked for."""
    customer, price = params.text("customer"), params.text("price")
    status = params.choice("status", "active", "canceled", "all")
    found = account.store.every("subscription")
    if customer is not None:
        found = account.store.find("subscription", "customer", customer)
    found = [each for each in found if status == "all" or each["status"] == (status or "active")]
    pages = [shown(account, each) for each in found]
    if price is not None:
        pages = [each for each in pages if price in {item["price"]["id"] for item in each["items"]["data"]}]
    return listed(params, pages, "/v1/subscriptions")


def create_item(account: Account, params: Params) -> Document:
    params.needed("subscription", "price")
    subscription = running(account, params.must("subscription"), "subscription")
    price, quantity, metadata = item_of(account, params)
    params.finish()
    rhythm_of([price, *(each["price"] for each in items(account, subscription["id"]))])
    return with_period(add_item(account, subscription, price, quantity, metadata), subscription)


def retrieve_item(account: Account, params: Params, item: str) -> Document:
    params.finish()
    found = account.the("subscription_item", item)
    return with_period(found, account.the("subscription", found["subscription"]))


def delete_item(account: Account, params: Params, item: str) -> Document:
    """Usage of a metered item that was not invoiced is dropped."""
    params.finish()
    found = account.the("subscription_item", item)
    running(account, found["subscription"])
    if len(items(account, found["subscription"])) == 1:
        raise invalid("A subscription must have at least one active plan. Cancel the subscription instead.")
    account.store.delete("subscription_item", item)
    return {"id": item, "object": "subscription_item", "deleted": True}


def list_items(account: Account, params: Params) -> Document:
    subscription = account.the("subscription", params.must("subscription"), "subscription")
    found = [with_period(each, subscription) for each in items(account, subscription["id"])]
    return listed(params, found, "/v1/subscription_items")
