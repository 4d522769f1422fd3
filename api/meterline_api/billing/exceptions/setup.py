"""What the catalog lacks for Stripe: customers of tenants, meters of metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from meterline_api.billing.exceptions.found import Found, Kind
from meterline_schemas.catalog import Billing, Book, StripeMeter, Tenant
from meterline_schemas.catalog.stripe_meter import cannot_be_metered


def exceptions(book: Book, now: datetime) -> Iterator[Found]:
    """Of tenants that Stripe charges."""
    meters = {meter.metric for meter in book.all(StripeMeter)}
    for tenant in book.all(Tenant):
        if tenant.excluded or not tenant.billing.by_stripe:
            continue
        if not tenant.stripe_customer:
            yield Found(
                Kind.NO_CUSTOMER,
                tenant.id,
                f"tenant {tenant.id!r} is billed by {tenant.billing} and is no customer at Stripe",
                "set its `stripe_customer`, the id of the customer (cus_…), or another `billing`",
                since=tenant.changed_at,
            )
        if tenant.billing is Billing.METER:
            yield from _unmetered(book, tenant, meters, now)


def _unmetered(book: Book, tenant: Tenant, meters: set[str], now: datetime) -> Iterator[Found]:
    plan = book.plan_of(tenant.id, now)
    for charge in plan.at(now).charges if plan is not None else ():
        if charge.metric in meters or plan is None:
            continue
        metric = book.metrics.get(charge.metric)
        why_not = cannot_be_metered(metric) if metric is not None else None
        yield Found(
            Kind.NO_METER,
            tenant.id,
            f"tenant {tenant.id!r} is billed by meters, and {charge.metric}, which plan {plan.id!r} charges, has none: "
            "Stripe is told nothing of it",
            why_not or f"make its meter: `meterline stripe setup` for {charge.metric}",
            charge.metric,
        )
