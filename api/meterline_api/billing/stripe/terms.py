"""What of the catalog a push goes by: which tenant is which customer, which metric has which meter. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import Final

from meterline_api.billing.stripe.days import DayTotal
from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.metric import Metric
from meterline_schemas.catalog.plan import Plan, TenantPlan
from meterline_schemas.catalog.stripe_meter import StripeMeter
from meterline_schemas.catalog.tenant import Tenant

_MIDNIGHT: Final = time(tzinfo=UTC)


@dataclass(frozen=True)
class Terms:
    """One state of the catalog."""

    book: Book

    @cached_property
    def meters(self) -> Mapping[str, StripeMeter]:
        """By metric."""
        return {meter.metric: meter for meter in self.book.all(StripeMeter)}

    @cached_property
    def by_id(self) -> Mapping[str, StripeMeter]:
        """By their ids at Stripe."""
        return {meter.meter: meter for meter in self.meters.values()}

    @cached_property
    def customers(self) -> Mapping[str, str]:
        """Of the tenants of which any day is, or was, charged by meters."""
        return {
            tenant.id: tenant.stripe_customer
            for tenant in self.book.all(Tenant)
            if tenant.metering and tenant.stripe_customer and not tenant.excluded
        }

    def customer(self, tenant_id: str) -> str | None:
        return self.customers.get(tenant_id)

    def metered(self, totals: Iterable[DayTotal]) -> Iterator[DayTotal]:
        """Those of days that meters charge: invoices charge the others."""
        for tenant_id, of_it in groupby(totals, lambda total: total.tenant_id):
            tenant = self.book.find(Tenant, tenant_id)
            metering = () if tenant is None else tenant.metering
            for total in of_it:
                if any(total.day in each for each in metering):
                    yield total

    def included(self, tenant_id: str, metric: str, day: date) -> Decimal:
        """What the plan includes that the tenant is on as the month of a day begins, or else on the day."""
        spans = self.book.find(TenantPlan, tenant_id)
        if spans is None:
            return Decimal(0)
        at = datetime.combine(day.replace(day=1), _MIDNIGHT)
        name = spans.at(at) or spans.at(datetime.combine(day, _MIDNIGHT))
        plan = None if name is None else self.book.find(Plan, name)
        charge = None if plan is None else plan.at(at).charge(metric)
        return Decimal(0) if charge is None else charge.included

    def metrics(self) -> tuple[list[Metric], list[Metric]]:
        """Those with a meter: what is counted, and the gauges."""
        found = [self.book.metrics[key] for key in self.meters if key in self.book.metrics]
        gauges = [metric for metric in found if self.book.is_gauge(metric.key)]
        return [metric for metric in found if metric not in gauges], gauges

    def remapped(self, since: datetime) -> tuple[list[str], list[str]]:
        """Tenants and metrics of which every day is looked at again: their customer, plan or meter was changed."""
        changed = {plan.id for plan in self.book.all(Plan) if _after(plan.changed_at, since)}
        tenants = {tenant.id for tenant in self.book.all(Tenant) if _after(tenant.changed_at, since)} | {
            spans.tenant_id
            for spans in self.book.all(TenantPlan)
            if _after(spans.changed_at, since) or any(span.plan in changed for span in spans.spans)
        }
        metrics = [key for key, meter in self.meters.items() if _after(meter.changed_at, since)]
        return sorted(tenants & self.customers.keys()), metrics


def _after(at: datetime | None, since: datetime) -> bool:
    return at is not None and at >= since
