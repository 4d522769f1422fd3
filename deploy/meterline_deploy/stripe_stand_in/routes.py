"""What is answered: each address of Stripe's API that the stand-in has."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from meterline_deploy.stripe_stand_in import (
    account,
    adjustments,
    credit_notes,
    customers,
    destinations,
    events,
    invoice_items,
    invoices,
    meter_events,
    meters,
    prices,
    products,
    subscriptions,
    summaries,
)
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document

Handler = Callable[..., Document]
"""Called with the account, the parameters and the ids of the address."""
Held = Callable[[account.Account, Params], str | None]


@dataclass(frozen=True)
class Route:
    """``held`` names what a call holds for itself while it lasts."""

    method: str
    path: re.Pattern[str]
    handler: Handler
    held: Held | None = None


def _route(method: str, path: str, handler: Handler, held: Held | None = None) -> Route:
    return Route(method, re.compile(path.replace("{id}", r"([^/]+)") + r"\Z"), handler, held)


ROUTES: Final = (
    _route("GET", "/v1/account", account.retrieve),
    _route("POST", "/v1/billing/meters", meters.create),
    _route("GET", "/v1/billing/meters", meters.listing),
    _route("GET", "/v1/billing/meters/{id}", meters.retrieve),
    _route("POST", "/v1/billing/meters/{id}", meters.update),
    _route("POST", "/v1/billing/meters/{id}/deactivate", meters.deactivate),
    _route("POST", "/v1/billing/meters/{id}/reactivate", meters.reactivate),
    _route("GET", "/v1/billing/meters/{id}/event_summaries", summaries.listing),
    _route("POST", "/v1/billing/meter_events", meter_events.create, meter_events.held),
    _route("POST", "/v1/billing/meter_event_adjustments", adjustments.create),
    _route("POST", "/v1/customers", customers.create),
    _route("GET", "/v1/customers", customers.listing),
    _route("GET", "/v1/customers/{id}", customers.retrieve),
    _route("POST", "/v1/customers/{id}", customers.update),
    _route("DELETE", "/v1/customers/{id}", customers.delete),
    _route("POST", "/v1/products", products.create),
    _route("GET", "/v1/products", products.listing),
    _route("GET", "/v1/products/{id}", products.retrieve),
    _route("POST", "/v1/products/{id}", products.update),
    _route("POST", "/v1/prices", prices.create),
    _route("GET", "/v1/prices", prices.listing),
    _route("GET", "/v1/prices/{id}", prices.retrieve),
    _route("POST", "/v1/prices/{id}", prices.update),
    _route("POST", "/v1/subscriptions", subscriptions.create),
    _route("GET", "/v1/subscriptions", subscriptions.listing),
    _route("GET", "/v1/subscriptions/{id}", subscriptions.retrieve),
    _route("POST", "/v1/subscriptions/{id}", subscriptions.update),
    _route("DELETE", "/v1/subscriptions/{id}", subscriptions.cancel),
    _route("POST", "/v1/subscription_items", subscriptions.create_item),
    _route("GET", "/v1/subscription_items", subscriptions.list_items),
    _route("GET", "/v1/subscription_items/{id}", subscriptions.retrieve_item),
    _route("DELETE", "/v1/subscription_items/{id}", subscriptions.delete_item),
    _route("POST", "/v1/invoiceitems", invoice_items.create, invoice_items.held),
    _route("GET", "/v1/invoiceitems", invoice_items.listing),
    _route("GET", "/v1/invoiceitems/{id}", invoice_items.retrieve),
    _route("POST", "/v1/invoiceitems/{id}", invoice_items.update),
    _route("DELETE", "/v1/invoiceitems/{id}", invoice_items.delete),
    _route("POST", "/v1/invoices", invoices.create),
    _route("GET", "/v1/invoices", invoices.listing),
    _route("GET", "/v1/invoices/{id}", invoices.retrieve),
    _route("POST", "/v1/invoices/{id}", invoices.update),
    _route("GET", "/v1/invoices/{id}/lines", invoices.list_lines),
    _route("POST", "/v1/invoices/{id}/finalize", invoices.finalize),
    _route("POST", "/v1/invoices/{id}/pay", invoices.pay),
    _route("POST", "/v1/invoices/{id}/void", invoices.void),
    _route("POST", "/v1/invoices/{id}/mark_uncollectible", invoices.mark_uncollectible),
    _route("POST", "/v1/credit_notes", credit_notes.create),
    _route("GET", "/v1/credit_notes", credit_notes.listing),
    _route("GET", "/v1/credit_notes/{id}", credit_notes.retrieve),
    _route("POST", "/v1/webhook_endpoints", destinations.create_endpoint),
    _route("GET", "/v1/webhook_endpoints", destinations.list_endpoints),
    _route("GET", "/v1/webhook_endpoints/{id}", destinations.retrieve_endpoint),
    _route("POST", "/v1/webhook_endpoints/{id}", destinations.update_endpoint),
    _route("DELETE", "/v1/webhook_endpoints/{id}", destinations.delete_endpoint),
    _route("GET", "/v1/events", events.listing),
    _route("GET", "/v1/events/{id}", events.retrieve),
    _route("GET", "/v2/core/events/{id}", events.retrieve_thin),
    _route("POST", "/v2/core/event_destinations", destinations.create_destination),
    _route("GET", "/v2/core/event_destinations", destinations.list_destinations),
    _route("GET", "/v2/core/event_destinations/{id}", destinations.retrieve_destination),
    _route("POST", "/v2/core/event_destinations/{id}/disable", destinations.disable_destination),
    _route("POST", "/v2/core/event_destinations/{id}/enable", destinations.enable_destination),
)


def match(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The route and the ids in the address."""
    for route in ROUTES:
        found = route.path.match(path) if route.method == method else None
        if found:
            return route, found.groups()
    return None
