"""The same requests to the Stripe stand-in and to Stripe's own stripe-mock: both take them; no field is invented."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import pytest
import stripe

from tests.stripe import mock
from tests.stripe.process import DAY, KEY, StandIn

LEFT_OUT: Final = frozenset({"secret"})
"""Fields of Stripe's specification that no example of stripe-mock's has."""


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stripe.StripeClient]:
    with mock.running(tmp_path_factory.mktemp("stripe-mock")) as url:
        yield stripe.StripeClient(
            KEY,
            base_addresses={"api": url, "meter_events": url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=10),
        )


@pytest.fixture
def ours(stand_in: StandIn) -> stripe.StripeClient:
    stand_in.control("clock", {"now": time.time(), "frozen": False})
    return stand_in.client()


def conversation(api: stripe.StripeClient) -> Iterator[tuple[str, Any]]:
    """Every call that is made of Stripe to set up, push, compare and invoice, with its answer."""
    name, day, v1 = uuid.uuid4().hex, int(time.time()) // DAY * DAY - DAY, api.v1
    meter = v1.billing.meters.create({
        "display_name": "API calls", "event_name": name, "event_time_window": "day",
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
        "value_settings": {"event_payload_key": "value"},
    })  # fmt: skip
    yield "meters.create", meter
    yield "meters.retrieve", v1.billing.meters.retrieve(meter.id)
    yield "meters.update", v1.billing.meters.update(meter.id, {"display_name": "Calls"})
    yield "meters.list", v1.billing.meters.list({"status": "active", "limit": 100})
    product = v1.products.create({"name": "API calls", "metadata": {"metric": "calls"}})
    yield "products.create", product
    recurring: Any = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    yield (
        "prices.create",
        v1.prices.create(
            {"product": product.id, "currency": "usd", "unit_amount_decimal": Decimal("0.02"), "recurring": recurring}
        ),
    )
    price = v1.prices.create({
        "product": product.id, "currency": "usd", "recurring": recurring, "billing_scheme": "tiered",
        "tiers_mode": "graduated", "lookup_key": name,
        "tiers": [{"up_to": 1000, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": Decimal("0.02")}],
    })  # fmt: skip
    yield "prices.create of tiers", price
    yield "prices.create of packages", v1.prices.create({
        "product": product.id, "currency": "usd", "recurring": recurring, "unit_amount": 1,
        "transform_quantity": {"divide_by": 1000, "round": "up"},
    })  # fmt: skip
    yield "prices.list", v1.prices.list({"lookup_keys": [name], "active": True})
    customer = v1.customers.create({"name": "Acme", "email": "billing@example.com", "metadata": {"tenant": "acme"}})
    yield "customers.create", customer
    yield "customers.update", v1.customers.update(customer.id, {"metadata": {"tenant": "acme"}})
    anchor: Any = {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0}
    subscription = v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "billing_cycle_anchor_config": anchor}
    )
    yield "subscriptions.create", subscription
    yield "subscriptions.list", v1.subscriptions.list({"customer": customer.id, "status": "active"})
    yield "subscription_items.list", v1.subscription_items.list({"subscription": subscription.id})
    identifier = f"{name}-1"
    event: Any = {
        "event_name": name, "identifier": identifier, "timestamp": day,
        "payload": {"stripe_customer_id": customer.id, "value": "12345"},
    }  # fmt: skip
    yield "meter_events.create", v1.billing.meter_events.create(event, {"idempotency_key": identifier})
    span: Any = {"customer": customer.id, "start_time": day, "end_time": day + DAY, "value_grouping_window": "day"}
    yield "event_summaries.list", v1.billing.meters.event_summaries.list(meter.id, span | {"limit": 100})
    yield (
        "meter_event_adjustments.create",
        v1.billing.meter_event_adjustments.create(
            {"event_name": name, "type": "cancel", "cancel": {"identifier": identifier}}
        ),
    )
    period: Any = {"start": day, "end": day + DAY}
    yield "invoice_items.create", v1.invoice_items.create({
        "customer": customer.id, "amount": 1250, "currency": "usd", "description": "Late usage", "period": period,
        "metadata": {"line": "1"},
    })  # fmt: skip
    yield "invoice_items.create of a quantity", v1.invoice_items.create({
        "customer": customer.id, "currency": "usd", "quantity_decimal": Decimal("1.5"),
        "unit_amount_decimal": Decimal("10"),
    })  # fmt: skip
    draft = v1.invoices.create({
        "customer": customer.id, "auto_advance": False, "pending_invoice_items_behavior": "include",
        "collection_method": "charge_automatically", "metadata": {"invoice": "2025-11-acme"},
    })  # fmt: skip
    yield "invoices.create", draft
    yield (
        "invoice_items.create on a draft",
        v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "amount": -100, "currency": "usd"}),
    )
    yield "invoices.update", v1.invoices.update(draft.id, {"metadata": {"meterline_invoice": "INV-000001"}})
    yield "invoices.retrieve", v1.invoices.retrieve(draft.id)
    yield "invoices.finalize_invoice", v1.invoices.finalize_invoice(draft.id)
    yield "invoices.line_items.list", v1.invoices.line_items.list(draft.id, {"limit": 100})
    yield "credit_notes.create", v1.credit_notes.create({"invoice": draft.id, "amount": 100, "memo": "Voided"})
    yield "invoices.pay", v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    yield "invoices.list", v1.invoices.list({"customer": customer.id, "status": "paid"})
    yield "events.list", v1.events.list({"type": "invoice.paid", "limit": 1})
    webhook = v1.webhook_endpoints.create({"url": "https://example.com/hook", "enabled_events": ["invoice.paid"]})
    yield "webhook_endpoints.create", webhook
    yield "webhook_endpoints.list", v1.webhook_endpoints.list({"limit": 100})
    yield "webhook_endpoints.delete", v1.webhook_endpoints.delete(webhook.id)
    yield "account.retrieve", v1.accounts.retrieve_current()
    yield "meters.deactivate", v1.billing.meters.deactivate(meter.id)
    yield "meters.reactivate", v1.billing.meters.reactivate(meter.id)
    yield "subscriptions.cancel", v1.subscriptions.cancel(subscription.id)


def invented(ours: Any, official: Any, place: str) -> Iterator[str]:
    """Fields that the stand-in answers and Stripe's specification does not, or of another type."""
    if isinstance(ours, dict) and isinstance(official, dict):
        if place.endswith(("metadata", "payload", "data.object")):
            return
        for name in ours.keys() & official.keys():
            yield from invented(ours[name], official[name], f"{place}.{name}")
        yield from (f"{place}.{name}" for name in ours.keys() - official.keys() - LEFT_OUT)
    elif isinstance(ours, list) and isinstance(official, list):
        if ours and official:
            yield from invented(ours[0], official[0], f"{place}[]")
    elif ours is not None and official is not None:
        numbers = {int, float} if type(official) is int else {type(official)}
        if type(ours) not in numbers:
            yield f"{place} is {type(ours).__name__}, not {type(official).__name__}"


def test_both_take_the_same_requests_and_answer_with_the_same_fields(
    ours: stripe.StripeClient, official: stripe.StripeClient
) -> None:
    both = zip(conversation(ours), conversation(official), strict=True)
    answers = [(call, answer.to_dict(), theirs.to_dict()) for (call, answer), (_, theirs) in both]
    wrong = [each for call, answer, theirs in answers for each in invented(answer, theirs, call)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "ask",
    [
        lambda v1: v1.billing.meters.create({"display_name": "x"}),
        lambda v1: v1.billing.meters.create(
            {"display_name": "x", "event_name": "x", "default_aggregation": {"formula": "max"}}
        ),
        lambda v1: v1.billing.meters.update("mtr_1", {"event_time_window": "hour"}),
        lambda v1: v1.billing.meter_events.create({"event_name": "x"}),
        lambda v1: v1.billing.meter_events.create({"event_name": "x", "payload": {"a": "b"}, "timestamp": "today"}),
        lambda v1: v1.billing.meters.event_summaries.list("mtr_1", {"customer": "cus_1"}),
        lambda v1: v1.billing.meter_event_adjustments.create({"event_name": "x", "type": "undo"}),
        lambda v1: v1.invoices.list({"status": "late"}),
        lambda v1: v1.invoice_items.create({"customer": "cus_1", "amount": 1.5}),
        lambda v1: v1.webhook_endpoints.create({"url": "https://example.com"}),
    ],
)
def test_what_stripes_specification_refuses_the_stand_in_refuses(
    ours: stripe.StripeClient, official: stripe.StripeClient, ask: Callable[[Any], Any]
) -> None:
    for api in (official, ours):
        with pytest.raises(stripe.InvalidRequestError):
            ask(api.v1)
