"""Prices: per unit or by tiers, once or every period, of what was bought or of what a meter counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from meterline_deploy.stripe_stand_in import products
from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document

PLACES: Final = 12


def create(account: Account, params: Params) -> Document:
    params.needed("currency")
    currency = params.must("currency", 3).lower()
    product = product_of(account, params)
    recurring, rolls = recurrence(account, params)
    whole, exact = unit_amount(params)
    scheme = params.choice("billing_scheme", "per_unit", "tiered") or "per_unit"
    mode = params.choice("tiers_mode", "graduated", "volume")
    tiers = tiers_of(params) if params.has("tiers") else None
    transform = transformation(params)
    nickname, key, metadata = params.text("nickname"), params.text("lookup_key", 200), params.mapping("metadata")
    active, tax = params.flag("active"), params.choice("tax_behavior", "exclusive", "inclusive", "unspecified")
    params.finish()
    if scheme == "tiered":
        if not tiers or mode is None:
            raise invalid("`tiers` and `tiers_mode` are required when `billing_scheme=tiered`.", "tiers")
        if exact is not None:
            raise invalid("`unit_amount` cannot be used when `billing_scheme=tiered`.", "unit_amount")
        if transform:
            raise invalid("`transform_quantity` cannot be used with `tiers`.", "transform_quantity")
    elif exact is None:
        raise invalid("You must pass `unit_amount` or `unit_amount_decimal`.", "unit_amount", "parameter_missing")
    elif tiers or mode:
        raise invalid("`tiers` and `tiers_mode` can only be used when `billing_scheme=tiered`.", "tiers")
    if key and any(each["lookup_key"] == key for each in account.store.every("price")):
        raise invalid(f"A price ({key}) already uses that lookup key.", "lookup_key")
    return account.add("price", {
        "id": account.identity("price"), "object": "price", "active": active is not False, "billing_scheme": scheme,
        "created": account.now, "currency": currency, "custom_unit_amount": None, "livemode": False, "lookup_key": key,
        "metadata": metadata, "nickname": nickname, "product": product, "recurring": recurring,
        "tax_behavior": tax or "unspecified", "tiers_mode": mode, "transform_quantity": transform,
        "type": "recurring" if rolls else "one_time", "unit_amount": whole,
        "unit_amount_decimal": None if exact is None else plain(exact), "_tiers": tiers,
    })  # fmt: skip


def product_of(account: Account, params: Params) -> str:
    if params.has("product_data"):
        made = params.group("product_data")
        name, metadata = made.must("name"), made.mapping("metadata")
        return str(products.create(account, Params({"name": name, "metadata": metadata}))["id"])
    return str(account.the("product", params.must("product"), "product")["id"])


def recurrence(account: Account, params: Params) -> tuple[Document | None, bool]:
    group = params.group("recurring")
    if not params.has("recurring"):
        return None, False
    group.needed("interval")
    interval = group.choice("interval", "day", "month", "week", "year")
    count = group.whole("interval_count", 1, 36) or 1
    kind = group.choice("usage_type", "licensed", "metered") or "licensed"
    meter = group.text("meter")
    if kind == "metered":
        if meter is None:
            raise invalid(
                "Metered prices must be backed by a meter: pass `recurring[meter]`.", "recurring[meter]",
                "parameter_missing",
            )  # fmt: skip
        if account.the("meter", meter, "recurring[meter]")["status"] != "active":
            raise invalid(f"The meter {meter} is inactive.", "recurring[meter]")
    elif meter is not None:
        raise invalid("`recurring[meter]` needs `recurring[usage_type]=metered`.", "recurring[meter]")
    return {"interval": interval, "interval_count": count, "meter": meter, "usage_type": kind}, True


def unit_amount(params: Params, whole_name: str = "unit_amount") -> tuple[int | None, Decimal | None]:
    """The amount of one unit in minor units: as a whole number where it is one, and exactly."""
    whole, exact = params.whole(whole_name, 0), params.decimal(f"{whole_name}_decimal", PLACES)
    if whole is not None and exact is not None:
        raise invalid(f"You may only specify one of these parameters: {whole_name}, {whole_name}_decimal.", whole_name)
    amount = exact if whole is None else Decimal(whole)
    if amount is None:
        return None, None
    if amount < 0:
        raise invalid(f"Invalid {whole_name}_decimal: must be at least 0", f"{whole_name}_decimal")
    return (int(amount) if amount == amount.to_integral_value() else None), amount


def tiers_of(params: Params) -> list[Document]:
    tiers, before = [], 0
    groups = params.groups("tiers")
    for n, group in enumerate(groups):
        group.needed("up_to")
        limit = None if group.text("up_to") == "inf" else group.whole("up_to", 1)
        unit, exact = unit_amount(group)
        flat, flat_exact = unit_amount(group, "flat_amount")
        if exact is None and flat_exact is None:
            raise invalid("Each tier needs `unit_amount` or `flat_amount`.", group.name("unit_amount"))
        if (limit is None) != (n == len(groups) - 1):
            raise invalid("The last tier, and no other, must have `up_to=inf`.", group.name("up_to"))
        if limit is not None and limit <= before:
            raise invalid("Each tier must end after the one before it.", group.name("up_to"))
        before = limit or before
        tiers.append({
            "flat_amount": flat, "flat_amount_decimal": None if flat_exact is None else plain(flat_exact),
            "unit_amount": unit, "unit_amount_decimal": None if exact is None else plain(exact), "up_to": limit,
        })  # fmt: skip
    return tiers


def transformation(params: Params) -> dict[str, Any] | None:
    group = params.group("transform_quantity")
    if not params.has("transform_quantity"):
        return None
    group.needed("divide_by", "round")
    return {"divide_by": group.whole("divide_by", 1), "round": group.choice("round", "down", "up")}


def retrieve(account: Account, params: Params, price: str) -> Document:
    """With ``expand[]=tiers`` it has its tiers."""
    expanded = params.texts("expand")
    params.finish()
    found = account.the("price", price)
    if set(expanded) - {"tiers"}:
        raise invalid(f"The Stripe stand-in cannot expand {', '.join(sorted(set(expanded) - {'tiers'}))}.", "expand")
    return {**found, "tiers": found["_tiers"]} if expanded and found["_tiers"] else found


def update(account: Account, params: Params, price: str) -> Document:
    found = account.the("price", price)
    active, nickname = params.flag("active"), params.text("nickname") or found["nickname"]
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    return account.change(
        "price", found, nickname=nickname, metadata=metadata, active=found["active"] if active is None else active
    )


def listing(account: Account, params: Params) -> Document:
    active, product, keys = params.flag("active"), params.text("product"), params.texts("lookup_keys")
    prices = [
        each
        for each in account.store.every("price")
        if active in (None, each["active"])
        and product in (None, each["product"])
        and (not keys or each["lookup_key"] in keys)
    ]
    return listed(params, prices, "/v1/prices")


def plain(amount: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
