"""Setting Stripe up: meters, products and prices of the plans; customers and subscriptions of the tenants.

Each step finds what is there (by event name, metadata or lookup key) before it makes anything, and makes it under an
idempotency key: repeated after a crash at any point, or by two at once, it ends with one of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Protocol

from meterline_api.billing.stripe.errors import InexpressibleError, MeterDiffersError, TermsDifferError
from meterline_api.billing.stripe.expressing import base_fee_of, lookup_key, price_of
from meterline_schemas.catalog.entry import FieldProblem, RefusedError
from meterline_schemas.catalog.metric import Metric
from meterline_schemas.catalog.plan import Charge, Plan, PlanVersion
from meterline_schemas.catalog.stripe_meter import StripeMeter, cannot_be_metered
from meterline_schemas.catalog.tenant import Tenant

METRIC: Final = "meterline_metric"
PLAN: Final = "meterline_plan"
TENANT: Final = "meterline_tenant"
_ENDED: Final = frozenset(("canceled", "incomplete_expired"))
_MONTHLY: Final = {"interval": "month"}
_FIRST: Final = {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0}  # UTC: no day is cut in two

Found = Mapping[str, Any]


class Objects(Protocol):
    """Stripe's objects; ``create`` twice under one key makes one."""

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Found]: ...

    def create(self, kind: str, params: Mapping[str, Any], key: str) -> Found: ...


class Setup:
    """For one run: what is listed once is remembered. Raises what ``Stripe.all`` and ``Stripe.create`` raise."""

    def __init__(self, stripe: Objects) -> None:
        self._stripe = stripe

    def metric(self, metric: Metric, plans: Sequence[Plan], wanted: StripeMeter, now: datetime) -> StripeMeter:
        """The meter of a metric, its product, and a price for each plan that charges it; to be kept in the catalog.

        ``wanted`` says how; its ids are filled in. Nothing is made where anything cannot be.

        Raises:
            RefusedError: the days of the metric do not add up.
            InexpressibleError: a charge that no price at Stripe can say.
            MeterDiffersError: Stripe has such a meter of another shape.
        """
        why = cannot_be_metered(metric)
        if why is not None:
            raise RefusedError("invalid", [FieldProblem("metric", why)])
        charges = [(plan, charge) for plan in plans if (charge := plan.at(now).charge(metric.key)) is not None]
        prices = {plan.id: price_of(plan, charge, wanted) for plan, charge in charges}
        meter = self._meter(metric, wanted)
        product = self._product(METRIC, metric.key, metric.name or metric.key)
        metered = {**_MONTHLY, "usage_type": "metered", "meter": meter}
        ids = {
            plan.id: self._price(plan, charge, product, {**prices[plan.id], "recurring": metered})
            for plan, charge in charges
        }
        return wanted.model_copy(update={"meter": meter, "product": product, "prices": wanted.prices | ids})

    def customer(self, tenant: Tenant) -> str:
        """The id of the tenant's customer: the one that it is mapped to, one that was made for it, or a new one."""
        found = tenant.stripe_customer or self._customers.get(tenant.id)
        if found:
            return found
        params = {"name": tenant.name or tenant.id, "metadata": {TENANT: tenant.id}}
        made = str(self._stripe.create("customers", params, _key("customer", tenant.id))["id"])
        self._customers[tenant.id] = made
        return made

    def subscription(
        self, tenant: Tenant, plan: Plan, meters: Mapping[str, StripeMeter], now: datetime
    ) -> tuple[str, list[str]]:
        """The tenant's subscription with an item for the base fee and for each charge; its id, and the items' prices.

        Its periods begin at 00:00 UTC on the first of a month. The one that it begins in is charged in part, but
        of a tenant that is metered from a later day on, whose invoices charge what is before: not at all.

        Raises:
            InexpressibleError: the plan charges a metric that has no price at Stripe.
            TermsDifferError: it charges the same by another price. No item was made.
        """
        version = plan.at(now)
        prices = [self._of(plan, charge, meters) for charge in version.charges]
        if version.base_fee:
            prices.insert(0, self._base_fee(plan, version))
        if not prices:
            return "", []
        about = {TENANT: tenant.id}
        listed = self._stripe.all("subscriptions", {"customer": tenant.stripe_customer})
        found = next(
            (each for each in listed if each["metadata"].get(TENANT) == tenant.id and each["status"] not in _ENDED),
            None,
        )
        if found is None:
            later = tenant.metered_since is not None and tenant.metered_since > now.date()
            params = {
                "customer": tenant.stripe_customer,
                "items": [{"price": price} for price in prices],
                "billing_cycle_anchor_config": _FIRST,
                "proration_behavior": "none" if later else "create_prorations",
                "metadata": about,
            }
            key = _key("subscription", tenant.stripe_customer, str(later), *prices)
            return str(self._stripe.create("subscriptions", params, key)["id"]), prices
        subscription = str(found["id"])
        items = [each["price"] for each in self._stripe.all("subscription_items", {"subscription": subscription})]
        has = {str(price["id"]): _charges(price) for price in items}
        wanted = [meters[charge.metric].meter for charge in version.charges]
        for what, price in zip([*([""] if version.base_fee else []), *wanted], prices, strict=True):
            other = next((each for each, charged in has.items() if charged == what and each != price), None)
            if other is not None:
                raise TermsDifferError(tenant.id, subscription, f"meter {what}" if what else "the base fee", other)
        for price in prices:
            if price not in has:
                params = {"subscription": subscription, "price": price}
                self._stripe.create("subscription_items", params, _key("item", subscription, price))
        return subscription, prices

    @cached_property
    def _customers(self) -> dict[str, str]:
        return {
            each["metadata"][TENANT]: str(each["id"])
            for each in self._stripe.all("customers")
            if TENANT in (each.get("metadata") or {})
        }

    def _meter(self, metric: Metric, wanted: StripeMeter) -> str:
        shape = {
            "event_time_window": "day",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": wanted.customer_key},
            "value_settings": {"event_payload_key": wanted.value_key},
        }
        for found in self._stripe.all("billing.meters", {"status": "active"}):
            if found["event_name"] == wanted.event_name:
                for name, value in shape.items():
                    if found.get(name) != value:
                        why = f"its {name} is {found.get(name)} and not {value}"
                        raise MeterDiffersError(str(found["id"]), wanted.event_name, why)
                return str(found["id"])
        params = {"display_name": metric.name[:250] or metric.key, "event_name": wanted.event_name, **shape}
        key = _key("meter", wanted.event_name, wanted.customer_key, wanted.value_key)
        return str(self._stripe.create("billing.meters", params, key)["id"])

    def _product(self, kind: str, identity: str, name: str) -> str:
        for found in self._stripe.all("products", {"active": True}):
            if (found.get("metadata") or {}).get(kind) == identity:
                return str(found["id"])
        params = {"name": name[:250], "metadata": {kind: identity}}
        return str(self._stripe.create("products", params, _key("product", kind, identity))["id"])

    def _price(self, plan: Plan, charge: Charge | None, product: str, parameters: Mapping[str, Any]) -> str:
        metric = "" if charge is None else charge.metric
        key = lookup_key(plan.id, metric, {**parameters, "product": product})
        for found in self._stripe.all("prices", {"lookup_keys": [key], "active": True}):
            return str(found["id"])
        about = {PLAN: plan.id, **({METRIC: metric} if metric else {})}
        params = {**parameters, "product": product, "lookup_key": key, "metadata": about}
        return str(self._stripe.create("prices", params, key)["id"])

    def _base_fee(self, plan: Plan, version: PlanVersion) -> str:
        amount = base_fee_of(plan, version)
        product = self._product(PLAN, plan.id, plan.name or plan.id)
        fee = {"currency": plan.currency.lower(), "unit_amount": amount, "recurring": _MONTHLY}
        return self._price(plan, None, product, fee)

    @staticmethod
    def _of(plan: Plan, charge: Charge, meters: Mapping[str, StripeMeter]) -> str:
        meter = meters.get(charge.metric)
        price = None if meter is None else meter.prices.get(plan.id)
        if price is None:
            raise InexpressibleError(plan.id, charge.metric, "it has no price there yet (set the metric up first)")
        return price


def _charges(price: Mapping[str, Any]) -> str | None:
    """The meter that a price is of, empty for a base fee of ours; None: another thing."""
    meter = (price.get("recurring") or {}).get("meter")
    if meter:
        return str(meter)
    return "" if PLAN in (price.get("metadata") or {}) else None


def _key(*parts: str) -> str:
    """An idempotency key of named parts."""
    return "meterline:" + hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
