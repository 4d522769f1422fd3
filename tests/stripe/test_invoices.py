"""What Stripe would invoice: metered prices over periods, items, credit, and an invoice's states."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from meterline_deploy.stripe_stand_in.rating import cost
from tests.stripe.process import DAY, NOON, StandIn

DECEMBER = int(datetime(2025, 12, 1, tzinfo=UTC).timestamp())
JANUARY = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def subscribe(api: stripe.StripeClient, customer: str, meter: Any, **price: Any) -> Any:
    product = api.v1.products.create({"name": "API calls"})
    params: Any = {
        "product": product.id,
        "currency": "usd",
        "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        **price,
    }
    anchor: Any = {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0}
    made = api.v1.prices.create(params)
    return api.v1.subscriptions.create(
        {"customer": customer, "items": [{"price": made.id}], "billing_cycle_anchor_config": anchor}
    )


def test_a_period_is_invoiced_by_its_meter_when_it_ends(
    stand_in: StandIn, api: stripe.StripeClient, meter: Callable[..., Any], send: Callable[..., Any], customer: str
) -> None:
    calls = meter("day")
    subscription = subscribe(api, customer, calls, unit_amount_decimal=Decimal("0.5"))
    [item] = subscription["items"].data
    assert (item.current_period_start, item.current_period_end) == (NOON, DECEMBER)
    send(calls, 1_000, at=NOON)
    api.v1.invoice_items.create({"customer": customer, "amount": -50, "currency": "usd", "description": "Late usage"})
    stand_in.freeze(DECEMBER + 60)
    [draft] = api.v1.invoices.list({"customer": customer}).data
    assert (draft.status, draft.amount_due, draft.automatically_finalizes_at) == ("draft", 450, DECEMBER + 3_600)
    send(calls, 1_500, at=DECEMBER - DAY)  # within the grace time
    send(calls, 9_999, at=DECEMBER)  # of the next period
    stand_in.freeze(DECEMBER + 3_600)
    invoice = api.v1.invoices.retrieve(draft.id)
    lines = {line.description: line for line in invoice.lines.data}
    assert lines["2500 × API calls"].amount == 1_250
    assert lines["2500 × API calls"].period.to_dict() == {"start": NOON, "end": DECEMBER}
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 1_200, 1_200)
    send(calls, 1, at=DECEMBER - DAY)
    assert api.v1.invoices.retrieve(draft.id).total == 1_200, "a finalized invoice never changes"
    stand_in.freeze(JANUARY + 3_600)
    latest = api.v1.invoices.list({"customer": customer}).data[0]
    assert (latest.id != draft.id, latest.total) == (True, 5_000)  # 9999 × 0.5, halves away from zero


def test_a_manual_invoice_takes_what_waits_and_goes_through_its_states(api: stripe.StripeClient, customer: str) -> None:
    for number in range(12):
        api.v1.invoice_items.create({"customer": customer, "amount": 100 + number, "currency": "usd"})
    empty = api.v1.invoices.create({"customer": customer})
    assert empty.total == 0, "what waits is left out unless asked for"
    draft = api.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert (len(draft.lines.data), draft.lines.has_more) == (10, True)
    assert len(list(api.v1.invoices.line_items.list(draft.id).auto_paging_iter())) == 12
    opened = api.v1.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.amount_due, opened.amount_remaining) == ("open", 1_266, 1_266)
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.invoices.finalize_invoice(draft.id)
    note = api.v1.credit_notes.create({"invoice": draft.id, "amount": 266})
    assert note.type == "pre_payment"
    paid = api.v1.invoices.pay(draft.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 1_000, 0)
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.invoices.void_invoice(draft.id)
    api.v1.credit_notes.create({"invoice": draft.id, "amount": 300, "credit_amount": 300})
    assert api.v1.customers.retrieve(customer).balance == -300
    api.v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd"})
    last = api.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    last = api.v1.invoices.finalize_invoice(last.id)
    assert (last.total, last.starting_balance, last.amount_due) == (500, -300, 200)
    assert api.v1.invoices.void_invoice(last.id).status == "void"


def test_prices_are_refused_as_stripe_refuses_them(api: stripe.StripeClient, meter: Callable[..., Any]) -> None:
    product = api.v1.products.create({"name": "API calls"}).id
    metered = {"interval": "month", "usage_type": "metered", "meter": meter().id}
    tiers = [{"up_to": 100, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": "0.5"}]
    tiered: dict[str, Any] = {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers}
    base: dict[str, Any] = {"product": product, "currency": "usd", "recurring": metered}
    wrong: list[dict[str, Any]] = [
        base | {"recurring": {"interval": "month", "usage_type": "metered"}, "unit_amount": 1},
        base | {"unit_amount_decimal": "0.1234567890123"},
        base | {"unit_amount_decimal": "1E-7"},
        base | tiered | {"transform_quantity": {"divide_by": 10, "round": "up"}},
        base | tiered | {"tiers": tiers[:1]},
        base,
    ]
    for params in wrong:
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.prices.create(params)  # type: ignore[arg-type]
    price = api.v1.prices.create(base | tiered)  # type: ignore[arg-type]
    assert len(api.v1.prices.retrieve(price.id, {"expand": ["tiers"]}).tiers or []) == 2


@given(
    quantity=st.integers(0, 300),
    limits=st.lists(st.integers(1, 250), unique=True, max_size=4).map(sorted),
    amounts=st.lists(st.integers(0, 99), min_size=5, max_size=5),
)
def test_graduated_tiers_cost_what_unit_by_unit_costs(quantity: int, limits: list[int], amounts: list[int]) -> None:
    bounds = [*limits, None]
    tiers = [
        {"up_to": bound, "unit_amount_decimal": str(amount), "flat_amount_decimal": None}
        for bound, amount in zip(bounds, amounts, strict=False)
    ]
    naive = sum(
        next(amount for bound, amount in zip(bounds, amounts, strict=False) if bound is None or unit <= bound)
        for unit in range(1, quantity + 1)
    )
    price: dict[str, Any] = {"tiers_mode": "graduated", "_tiers": tiers}
    assert cost(price, quantity) == naive
    whole = next(amount for bound, amount in zip(bounds, amounts, strict=False) if bound is None or quantity <= bound)
    assert cost(price | {"tiers_mode": "volume"}, quantity) == quantity * whole


def test_packages_are_rounded_as_asked() -> None:
    price: dict[str, Any] = {"tiers_mode": None, "unit_amount_decimal": "1.5"}
    for how, expected in (("up", Decimal("3.0")), ("down", Decimal("1.5"))):
        assert cost(price | {"transform_quantity": {"divide_by": 1_000, "round": how}}, 1_001) == expected


def test_ids_are_counted_and_lists_are_paged_newest_first(api: stripe.StripeClient) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    made = [api.v1.customers.create({"email": email}).id for _ in range(5)]
    page = api.v1.customers.list({"email": email, "limit": 2})
    assert [each.id for each in page.data] == made[:2:-1]
    assert [each.id for each in page.auto_paging_iter()] == made[::-1]
