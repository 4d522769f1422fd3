"""Setting up: one of each however often it is repeated, and what no price at Stripe can say is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from meterline_api.billing.stripe.client import Stripe
from meterline_api.billing.stripe.errors import (
    InexpressibleError,
    MeterDiffersError,
    StripeRefusedError,
    TermsDifferError,
)
from meterline_api.billing.stripe.expressing import price_of
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.setup import METRIC, PLAN, TENANT, Setup
from meterline_schemas.catalog import Billing, Metric, Plan, PlanVersion, RefusedError, StripeMeter, Tenant
from tests.api.billing.stripe.stand_in import KEY, StandIn

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def plan(tag: str, *charges: Any, **more: Any) -> Plan:
    return Plan.model_validate(
        {"id": tag, "currency": "USD", "versions": [{"base_fee": "199", "charges": charges}], **more}
    )


def charge(price: Any, metric: str = "orders", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "price": price, **more}


def meter(tag: str = "x", metric: str = "orders", **more: Any) -> StripeMeter:
    return StripeMeter.model_validate({"metric": metric, "meter": "new", "event_name": f"{tag}_{metric}", **more})


def price(one: dict[str, Any], **of_meter: Any) -> dict[str, Any]:
    terms = plan("p", one)
    return price_of(terms, terms.versions[0].charges[0], meter(**of_meter))


def cost(price: Mapping[str, Any], value: int) -> Decimal:
    """What Stripe charges for a value, in minor units, as its documentation says."""
    if price["billing_scheme"] == "per_unit":
        if "transform_quantity" in price:
            value = -(-value // price["transform_quantity"]["divide_by"])
        return Decimal(price["unit_amount_decimal"]) * value
    total, lower = Decimal(0), 0
    for tier in price["tiers"]:
        upper = value if tier["up_to"] == "inf" else min(value, tier["up_to"])
        last = tier["up_to"] == "inf" or value <= tier["up_to"]
        if price["tiers_mode"] == "volume" and last:
            return Decimal(tier["unit_amount_decimal"] * value + tier.get("flat_amount_decimal", 0))
        if price["tiers_mode"] == "graduated" and (value > lower or lower == 0):
            total += tier["unit_amount_decimal"] * (upper - lower) + tier.get("flat_amount_decimal", 0)
        if last:
            break
        lower = tier["up_to"]
    return total


@pytest.mark.parametrize(
    ("one", "of_meter", "costs"),
    [
        (charge({"model": "per_unit", "unit_price": "0.01", "per": 1000}), {}, {0: "0", 50_000: "50"}),
        (charge({"model": "per_unit", "unit_price": "0.05"}, included=100), {}, {100: "0", 125: "125"}),
        (charge({"model": "per_unit", "unit_price": "0.05"}, included=100), {"scale": 2}, {10_000: "0", 12_500: "125"}),
        (charge({"model": "per_unit", "unit_price": "0.05"}, discount_percent=20), {}, {25: "100"}),
        (charge({"model": "percentage", "percent": "2.5"}), {"scale": 2}, {10_000: "250"}),
        (charge({"model": "package", "price": 5, "size": 100}), {}, {0: "0", 1: "500", 100: "500", 101: "1000"}),
        (
            charge(
                {
                    "model": "graduated",
                    "tiers": [{"up_to": 10, "unit_price": 1}, {"unit_price": "0.5", "flat": 3}],
                },
                included=5,
            ),
            {},
            {5: "0", 6: "100", 15: "1000", 16: "1350", 20: "1550"},
        ),
        (
            charge({"model": "volume", "tiers": [{"up_to": 10, "unit_price": 1}, {"unit_price": "0.5"}]}),
            {},
            {10: "1000", 11: "550"},
        ),
        (
            charge({"model": "tiered_flat", "tiers": [{"up_to": 10, "flat": 7}, {"flat": 9}]}, included=5),
            {},
            {5: "0", 6: "700", 15: "700", 16: "900"},
        ),
    ],
    ids=str,
)
def test_a_price_at_stripe_comes_to_what_the_charge_does(
    one: dict[str, Any], of_meter: dict[str, Any], costs: dict[int, str]
) -> None:
    found = price(one, **of_meter)
    assert {value: cost(found, value) for value in costs} == {value: Decimal(cents) for value, cents in costs.items()}


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (charge({"model": "per_unit", "unit_price": 1}, cap=5), "it has a cap"),
        (charge({"model": "per_unit", "unit_price": 1}, minimum=5), "it has a minimum"),
        (charge({"model": "package", "price": 5, "size": 100}, included=5), "packages after an included quantity"),
        (charge({"model": "volume", "tiers": [{"unit_price": 1}]}, included=5), "a volume price after an included"),
        (charge({"model": "tiered_flat", "tiers": [{"flat": 7}]}), "first tier has a flat amount"),
        (charge({"model": "per_unit", "unit_price": 1, "per": 3}), "more than 12 decimals"),
        (charge({"model": "per_unit", "unit_price": 1}, included="0.5"), "`scale` of 0 cannot say"),
        (charge({"model": "per_unit", "unit_price": 1}, measure="unit_months"), "the meter counts as_metered"),
    ],
    ids=str,
)
def test_what_no_price_can_say_is_refused_with_invoice_items_as_the_way(one: dict[str, Any], why: str) -> None:
    with pytest.raises(InexpressibleError) as error:
        price(one)
    assert why in str(error.value)
    assert "invoice_items" in str(error.value)


def test_amounts_are_in_the_minor_unit_that_stripe_has_for_a_currency() -> None:
    for currency, amount in (("JPY", "0.5"), ("USD", "50"), ("KWD", "500"), ("ISK", "50")):
        terms = plan("p", charge({"model": "per_unit", "unit_price": "0.5"}), currency=currency)
        assert price_of(terms, terms.versions[0].charges[0], meter())["unit_amount_decimal"] == Decimal(amount)


class Dying:
    """Stripe's objects, which a process dies at after some calls: before what it asks for, or after it is there."""

    def __init__(self, stripe: Stripe, calls: int) -> None:
        self._stripe = stripe
        self._left = calls

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        return self._stripe.all(kind, params)

    def create(self, kind: str, params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        made = self._stripe.create(kind, params, key)
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        return made


def test_repeated_after_a_crash_at_any_call_there_is_one_of_each(stand_in: StandIn) -> None:
    stripe = Stripe(StripeSettings(key=SecretStr(KEY), url=stand_in.url))
    tag = f"t{uuid.uuid4().hex[:8]}"
    terms = plan(tag, charge({"model": "per_unit", "unit_price": "0.10"}, included=100))
    metric = Metric(key="orders")

    def run(objects: Dying) -> tuple[StripeMeter, str, list[str]]:
        setup = Setup(objects)
        found = setup.metric(metric, [terms], meter(tag), NOW)
        customer = setup.customer(Tenant(id=tag, name="A company"))
        tenant = Tenant(id=tag, billing=Billing.METER, stripe_customer=customer)
        return found, *setup.subscription(tenant, terms, {"orders": found}, NOW)

    for calls in range(1, 20):
        try:
            first = run(Dying(stripe, calls))
            break
        except KeyboardInterrupt:
            continue
    else:
        pytest.fail("it never ended")
    again = run(Dying(stripe, 1))
    assert again == first, "and nothing was made any more"
    found, subscription, prices = first
    assert [each["id"] for each in stripe.all("billing.meters") if each["event_name"] == f"{tag}_orders"] == [
        found.meter
    ]
    assert [each["id"] for each in stripe.all("customers") if each["metadata"].get(TENANT) == tag] != []
    ours = [each for each in stripe.all("prices") if each["metadata"].get(PLAN) == tag]
    assert {each["id"] for each in ours} == set(prices)
    assert len(ours) == len(prices) == 2
    assert found.prices[tag] in prices
    (sub,) = [each for each in stripe.all("subscriptions") if each["metadata"].get(TENANT) == tag]
    assert sub["id"] == subscription
    assert {each["price"]["id"] for each in stripe.all("subscription_items", {"subscription": subscription})} == set(
        prices
    )
    starts = datetime.fromtimestamp(sub["billing_cycle_anchor"], UTC)
    assert (starts.day, starts.hour, starts.minute, starts.second) == (1, 0, 0, 0)
    products = [each for each in stripe.all("products") if each["id"] == found.product]
    assert [each["metadata"] for each in products] == [{METRIC: "orders"}]


def test_a_new_charge_is_another_item_and_other_terms_beside_the_old_ones_are_refused(stand_in: StandIn) -> None:
    stripe = Stripe(StripeSettings(key=SecretStr(KEY), url=stand_in.url))
    tag = f"t{uuid.uuid4().hex[:8]}"
    setup = Setup(stripe)
    terms = plan(tag, charge({"model": "per_unit", "unit_price": "0.10"}))
    orders = setup.metric(Metric(key="orders"), [terms], meter(tag), NOW)
    tenant = Tenant(id=tag, billing=Billing.METER, stripe_customer=setup.customer(Tenant(id=tag)))
    first, before = setup.subscription(tenant, terms, {"orders": orders}, NOW)
    dearer = plan(tag, charge({"model": "per_unit", "unit_price": "0.20"}))
    changed = setup.metric(Metric(key="orders"), [dearer], orders, NOW)
    assert changed.meter == orders.meter
    assert changed.prices != orders.prices
    with pytest.raises(TermsDifferError, match="two prices of one would charge twice"):
        setup.subscription(tenant, dearer, {"orders": changed}, NOW)
    fee = dearer.model_copy(
        update={"versions": (PlanVersion(base_fee=Decimal(299), charges=terms.versions[0].charges),)}
    )
    with pytest.raises(TermsDifferError, match="charges the base fee by price_"):
        setup.subscription(tenant, fee, {"orders": orders}, NOW)
    has = {each["price"]["id"] for each in stripe.all("subscription_items", {"subscription": first})}
    assert has == {*before}, "nothing was added"
    users = plan(tag, *terms.versions[0].charges, charge({"model": "per_unit", "unit_price": 1}, metric="users"))
    more = setup.metric(Metric(key="users"), [users], meter(tag, "users"), NOW)
    second, prices = setup.subscription(tenant, users, {"orders": orders, "users": more}, NOW)
    assert second == first
    has = {each["price"]["id"] for each in stripe.all("subscription_items", {"subscription": first})}
    assert has == {*prices}
    assert {*before} < {*prices}
    missing = plan(tag, charge({"model": "per_unit", "unit_price": "0.20"}, metric="users"))
    with pytest.raises(InexpressibleError, match="no price there yet"):
        setup.subscription(tenant, missing, {"orders": changed}, NOW)


def test_a_meter_of_another_shape_and_a_metric_whose_days_do_not_add_up_are_refused(stand_in: StandIn) -> None:
    stripe = Stripe(StripeSettings(key=SecretStr(KEY), url=stand_in.url))
    tag = f"t{uuid.uuid4().hex[:8]}"
    form = {"display_name": "x", "event_name": f"{tag}_orders", "default_aggregation[formula]": "sum"}
    stand_in.make("billing/meters", form)
    with pytest.raises(MeterDiffersError, match="event_time_window is None and not day"):
        Setup(stripe).metric(Metric(key="orders"), [], meter(tag), NOW)
    peak = Metric.model_validate({"key": "peak", "aggregation": "max"})
    with pytest.raises(RefusedError, match="do not add up"):
        Setup(stripe).metric(peak, [], meter(tag, "peak"), NOW)
    wrong = Stripe(StripeSettings(key=SecretStr("sk_live_x"), url=stand_in.url))
    with pytest.raises(StripeRefusedError, match="Invalid API Key"):
        Setup(wrong).metric(Metric(key="orders"), [], meter(tag), NOW)
