"""Products: what a price is of."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def create(account: Account, params: Params) -> Document:
    name, identity = params.must("name"), params.text("id")
    description, unit, active = params.text("description"), params.text("unit_label", 12), params.flag("active")
    metadata = params.mapping("metadata")
    params.finish()
    if identity and account.store.get("product", identity):
        raise invalid(f"Product already exists: {identity}", "id", "resource_already_exists")
    return account.add("product", {
        "id": identity or account.identity("prod"), "object": "product", "active": active is not False,
        "created": account.now, "default_price": None, "description": description, "images": [], "livemode": False,
        "marketing_features": [], "metadata": metadata, "name": name, "package_dimensions": None, "shippable": None,
        "statement_descriptor": None, "tax_code": None, "unit_label": unit, "updated": account.now, "url": None,
    })  # fmt: skip


def retrieve(account: Account, params: Params, product: str) -> Document:
    params.finish()
    return account.the("product", product)


def update(account: Account, params: Params, product: str) -> Document:
    found = account.the("product", product)
    name, description = params.text("name") or found["name"], params.text("description") or found["description"]
    active = params.flag("active")
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    return account.change(
        "product", found, name=name, description=description, metadata=metadata, updated=account.now,
        active=found["active"] if active is None else active,
    )  # fmt: skip


def listing(account: Account, params: Params) -> Document:
    active, ids = params.flag("active"), params.texts("ids")
    products = [each for each in account.store.every("product") if active in (None, each["active"])]
    return listed(params, [each for each in products if not ids or each["id"] in ids], "/v1/products")
