"""Customers: who is metered and invoiced."""

from __future__ import annotations

from meterline_deploy.stripe_stand_in.account import Account, listed
from meterline_deploy.stripe_stand_in.errors import missing
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document

TEXTS = ("name", "email", "description", "phone")


def create(account: Account, params: Params) -> Document:
    texts = {name: params.text(name) for name in TEXTS}
    metadata = params.mapping("metadata")
    params.finish()
    number = account.store.count("customer number")
    return account.add("customer", {
        "id": account.identity("cus"), "object": "customer", "balance": 0, "created": account.now, "currency": None,
        "delinquent": False, **texts, "invoice_prefix": f"C{number:07d}", "livemode": False, "metadata": metadata,
        "next_invoice_sequence": 1, "tax_exempt": "none", "test_clock": None,
    })  # fmt: skip


def retrieve(account: Account, params: Params, customer: str) -> Document:
    params.finish()
    return account.the("customer", customer)


def update(account: Account, params: Params, customer: str) -> Document:
    found = living(account, customer, "id")
    texts = {name: params.text(name) for name in TEXTS if params.has(name)}
    metadata = {**found["metadata"], **params.mapping("metadata")}
    params.finish()
    return account.change("customer", found, **texts, metadata=without_empty(metadata))


def delete(account: Account, params: Params, customer: str) -> Document:
    """What is left of a deleted customer is its id, and that it is deleted."""
    params.finish()
    living(account, customer, "id")
    gone = {"id": customer, "object": "customer", "deleted": True}
    return account.add("customer", gone)


def listing(account: Account, params: Params) -> Document:
    email = params.text("email")
    living = [each for each in account.store.every("customer") if not each.get("deleted")]
    return listed(params, [each for each in living if email in (None, each["email"])], "/v1/customers")


def living(account: Account, customer: str, param: str = "customer") -> Document:
    """Raises StripeError: there is none, or it was deleted."""
    found = account.store.get("customer", customer)
    if found is None or found.get("deleted"):
        raise missing("customer", customer, param)
    return found


def without_empty(metadata: dict[str, str]) -> dict[str, str]:
    """An empty value takes a name away."""
    return {name: value for name, value in metadata.items() if value}
