"""Setting Stripe up by the catalog: which metrics, plans and tenants, and what is then written into the catalog.

1. the tenants that Stripe's meters charge, or are to, and the plans that they are on
2. for each metric that these plans charge: its meter, its product, and a price for each plan; kept as `stripe_meter`
3. for each tenant its customer, kept in the tenant; then its subscription; then who charges it, if that is to change

What cannot be set up is told, and stops nothing else. Each step finds what an earlier attempt made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.billing.stripe.errors import InexpressibleError
from meterline_api.billing.stripe.expressing import base_fee_of, price_of
from meterline_api.billing.stripe.setup import Objects, Setup
from meterline_api.billing.stripe.setup_models import MeterShown, MeterWish, SetupAnswer, SetupRequest, TenantShown
from meterline_schemas.catalog import (
    Billing,
    Book,
    Charge,
    Entry,
    Metric,
    Plan,
    StripeMeter,
    Tenant,
    TenantPlan,
    changes,
    read_entry,
)
from meterline_schemas.catalog.entry import Kind
from meterline_schemas.catalog.plan_changes import ClosedUntil
from meterline_schemas.catalog.stripe_meter import cannot_be_metered
from meterline_schemas.errors import MeterlineError, UnavailableError

OF_GAUGES: Final = 6
"""Decimal places of what is held over time: a day of it is rarely whole."""
_NO_ID: Final = "new"  # of a meter that is not made yet

Put = Callable[[Callable[[Book], Entry]], Awaitable[Entry]]
"""Writes what a function makes of the catalog as it is. Raises RefusedError, UnavailableError."""


@dataclass(frozen=True)
class Done:
    """``subscription`` is None where a tenant needs none."""

    tenant: Tenant
    subscription: str | None = None


class Closed(NamedTuple):
    """Until when tenants are invoiced: as it was read before, and for who decides with the turn taken."""

    so_far: ClosedUntil
    in_turn: ClosedUntil


@dataclass
class SetUp:
    """What Stripe has; ``meters`` are by metric."""

    meters: dict[str, StripeMeter] = field(default_factory=dict)
    tenants: list[Done] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class SettingUp:
    """One run. ``put`` is None where nothing is to be written: ``objects`` make nothing then."""

    def __init__(
        self,
        book: Book,
        wish: SetupRequest,
        objects: Objects,
        put: Put | None,
        closed: Closed,
        now: datetime,
    ) -> None:
        self._book = book
        self._wish = wish
        self._setup = Setup(objects)
        self._put = put
        self._closed = closed
        self._now = now
        self._found = SetUp()
        self._refused: dict[str, list[str]] = {}  # by plan, what of it Stripe cannot say

    async def run(self) -> SetUp:
        """
        Raises:
            UnavailableError: Stripe or Kafka does not answer; what was made is found again.
        """
        tenants = {tenant.id: tenant for tenant in self._tenants()}
        metered = {id: plan for id, tenant in tenants.items() if self._is_metered(tenant) and (plan := self._plan(id))}
        plans = {plan.id: plan for plan in metered.values()}
        await self._metrics([plans[id] for id in sorted(plans)])
        for name in sorted(self._refused):
            self._found.problems += self._refused[name]
        for id in sorted(tenants):
            try:
                self._found.tenants.append(await self._tenant(tenants[id], metered.get(id)))
            except UnavailableError:
                raise
            except MeterlineError as error:
                said = str(error)
                self._found.problems.append(said if repr(id) in said else f"tenant {id!r}: {said}")
        return self._found

    def _tenants(self) -> Iterator[Tenant]:
        """All that Stripe charges or is to; the problems name those that there are not."""
        wish, book = self._wish, self._book
        for tenant in book.all(Tenant):
            if tenant.billing.by_stripe and not tenant.excluded:
                yield tenant
        missing = [f"there is no plan {plan!r}" for plan in wish.plans if book.plan(plan) is None]
        on = {each.tenant_id for each in book.all(TenantPlan) if each.at(self._now) in wish.plans}
        for id in dict.fromkeys((*wish.tenants, *sorted(on))):
            found = book.find(Tenant, id)
            if found is None and not book.tenant_plan(id).spans:
                missing.append(f"tenant {id!r} is not listed and on no plan: list it first")
            elif found is not None and found.excluded:
                missing.append(f"tenant {id!r} is excluded from billing: {found.excluded}")
            else:
                yield self._wanted(found or Tenant(id=id))
        self._found.problems += missing

    def _wanted(self, tenant: Tenant) -> Tenant:
        """A tenant that was named, as it is to be, but for its customer."""
        if self._wish.billing is None or self._wish.billing == tenant.billing:
            return tenant
        billing = Billing(self._wish.billing)
        since = (self._wish.metered_since or self._tomorrow) if billing is Billing.METER else None
        return tenant.model_copy(update={"billing": billing, "metered_since": since})

    @property
    def _tomorrow(self) -> date:
        """Stripe counts whole days, and a subscription begins in the midst of this one."""
        return self._now.date() + timedelta(days=1)

    def _is_metered(self, tenant: Tenant) -> bool:
        return tenant.billing is Billing.METER

    def _plan(self, tenant_id: str) -> Plan | None:
        name = self._book.tenant_plan(tenant_id).at(self._now)
        return None if name is None else self._book.plan(name)

    async def _metrics(self, plans: list[Plan]) -> None:
        wishes = {each.metric: each for each in self._wish.metrics}
        charges: dict[str, list[tuple[Plan, Charge]]] = {}
        for plan in plans:
            version = plan.at(self._now)
            try:
                base_fee_of(plan, version)
            except InexpressibleError as error:
                self._refuse(plan, str(error))
            for charge in version.charges:
                charges.setdefault(charge.metric, []).append((plan, charge))
        wanted = {metric: self._meter(metric, each, wishes.get(metric)) for metric, each in charges.items()}
        for metric, each in charges.items():
            for plan, charge in each:
                why = cannot_be_metered(self._metric(metric))
                try:
                    price_of(plan, charge, wanted[metric])
                except InexpressibleError as error:
                    why = why or str(error)
                if why is not None:
                    self._refuse(plan, why if repr(plan.id) in why else f"plan {plan.id!r}: {why}")
        for metric in sorted({*wishes} - {*charges}):
            self._found.problems.append(f"metric {metric!r} is charged by no plan of a tenant that meters charge")
        for metric in sorted(charges):
            good = [plan for plan, _ in charges[metric] if plan.id not in self._refused]
            if good:
                try:
                    self._found.meters[metric] = await self._keep_meter(metric, good, wanted[metric])
                except UnavailableError:
                    raise
                except MeterlineError as error:
                    for plan in good:
                        self._refuse(plan, f"plan {plan.id!r}: {metric}: {error}")

    def _metric(self, key: str) -> Metric:
        return self._book.metrics[key]  # a charge is of a metric that is defined

    def _refuse(self, plan: Plan, why: str) -> None:
        self._refused.setdefault(plan.id, []).append(why)

    def _meter(self, metric: str, charges: list[tuple[Plan, Charge]], wish: MeterWish | None) -> StripeMeter:
        """As the wish says; else as it is; else as the metric and its first charge want it."""
        gauge = self._book.is_gauge(metric)
        there = self._book.find(StripeMeter, metric) or StripeMeter(
            metric=metric,
            meter=_NO_ID,
            event_name=metric[:100],
            scale=OF_GAUGES if gauge else 0,
            measure=charges[0][1].measure,
            prices={},
        )
        if wish is None:
            return there
        given: dict[str, Any] = wish.model_dump(exclude={"metric"}, exclude_none=True)
        found = there.model_copy(update=given)
        if found.event_name != there.event_name:  # another meter, which has prices of its own
            found = found.model_copy(update={"meter": _NO_ID, "prices": {}})
        return found

    async def _keep_meter(self, metric: str, plans: list[Plan], wanted: StripeMeter) -> StripeMeter:
        self._check_meter(wanted)
        made = await asyncio.to_thread(self._setup.metric, self._metric(metric), plans, wanted, self._now)

        def decide(book: Book) -> StripeMeter:
            there = book.find(StripeMeter, metric)
            kept = there.prices if there is not None and there.meter == made.meter else {}
            return _checked(book, made.model_copy(update={"prices": {**kept, **made.prices}}))

        return made if self._put is None else _kind(StripeMeter, await self._put(decide))

    def _check_meter(self, wanted: StripeMeter) -> None:
        """Before anything is made for it."""
        there = self._book.find(StripeMeter, wanted.metric)
        if there is not None and there.event_name == wanted.event_name:
            _checked(self._book, wanted)

    async def _tenant(self, wanted: Tenant, plan: Plan | None) -> Done:
        if self._is_metered(wanted):
            if plan is None:
                raise MeterlineError("it is on no plan now: put it on one, and repeat the set-up")
            if plan.id in self._refused:
                raise MeterlineError(f"its plan {plan.id!r} cannot be set up, as told")
        customer = await asyncio.to_thread(self._setup.customer, wanted)
        tenant = wanted.model_copy(update={"stripe_customer": customer})
        self._check_tenant(tenant)
        there = self._book.find(Tenant, wanted.id)
        if there is None or there.stripe_customer != customer:
            there = await self._keep_tenant(wanted.id, {"stripe_customer": customer})
        subscription = None
        if plan is not None:
            subscription, _ = await asyncio.to_thread(
                self._setup.subscription, tenant, plan, self._found.meters, self._now
            )
        if there.billing is not tenant.billing:
            fields = {"billing": tenant.billing, "metered_since": tenant.metered_since}
            tenant = await self._keep_tenant(wanted.id, fields)
        return Done(tenant, subscription or None)

    def _check_tenant(self, tenant: Tenant) -> None:
        """Before Stripe has a subscription for it: whether the catalog takes it."""
        if tenant.stripe_customer.startswith("cus_"):
            _checked(self._book, tenant, self._now, self._closed.so_far)

    async def _keep_tenant(self, id: str, fields: Mapping[str, Any]) -> Tenant:
        def decide(book: Book) -> Tenant:
            if book.find(Tenant, id) is None:
                return _checked(book, read_entry(Tenant, {"id": id, **fields}), self._now, self._closed.in_turn)
            return changes.update(book, Tenant, id, fields, now=self._now, closed_until=self._closed.in_turn)

        if self._put is None:
            there = self._book.find(Tenant, id) or Tenant(id=id)
            return there.model_copy(update=dict(fields))
        return _kind(Tenant, await self._put(decide))


def _checked(book: Book, entry: Kind, now: datetime | None = None, closed_until: ClosedUntil | None = None) -> Kind:
    """Raises RefusedError."""
    more: dict[str, Any] = {} if now is None else {"now": now}
    return _kind(type(entry), changes.check(book, entry, closed_until=closed_until, **more))


def _kind(kind: type[Kind], entry: Entry) -> Kind:
    assert isinstance(entry, kind)  # noqa: S101
    return entry


def answer_of(found: SetUp, made: Mapping[str, int], *, dry_run: bool) -> SetupAnswer:
    """What a set-up came to."""
    return SetupAnswer(
        dry_run=dry_run,
        made=dict(made),
        metrics=[
            MeterShown.model_validate(found.meters[metric].model_dump(include={*MeterShown.model_fields}))
            for metric in sorted(found.meters)
        ],
        tenants=[
            TenantShown(
                tenant_id=done.tenant.id,
                customer=done.tenant.stripe_customer,
                billing=done.tenant.billing,
                metered_since=done.tenant.metered_since,
                subscription=done.subscription,
            )
            for done in found.tenants
        ],
        problems=found.problems,
    )
