"""What the usage of a period would have come to under another plan. Nothing is written.

Both sides are of one stretch of time: the period that the tenant is invoiced by, or that of the other plan where the
tenant's is of days and the other's is not. A side whose periods are shorter is the sum of those in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from meterline_api.billing.estimates.priced import PricedPeriod, priced_period
from meterline_api.billing.invoices.periods import Due, period_at, plans_of, tenant_of, walk
from meterline_api.billing.invoices.quantities import Tables, of_segments
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.pricing.money import Rounding, total
from meterline_api.billing.pricing.segments import segments
from meterline_schemas.catalog import Book, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from meterline_schemas.catalog.tenant import Billing
from meterline_schemas.periods import Period

ALWAYS: Final = datetime(1971, 1, 1, tzinfo=UTC)
"""Since when a tenant is on the other plan: before, no plan can begin."""


@dataclass(frozen=True, slots=True)
class Side:
    """What a tenant pays in the stretch; ``plans`` are those that it is on then."""

    plans: tuple[str, ...]
    currency: str
    total: Decimal
    periods: tuple[PricedPeriod, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """``[start, end)`` as it is and as it would be. ``current`` is None where the tenant is on no plan.

    ``problem`` says why a tenant cannot be compared; ``simulated`` is then None.
    """

    tenant_id: str
    start: datetime
    end: datetime
    current: Side | None
    simulated: Side | None
    problem: str = ""

    @property
    def difference(self) -> Decimal | None:
        """How much more it would be; None in another currency."""
        if self.simulated is None or (self.current is not None and self.current.currency != self.simulated.currency):
            return None
        now = self.current.total if self.current is not None else Decimal(0)
        return total((self.simulated.total, now.copy_negate()))


class _Asked(NamedTuple):
    """A tenant's periods as they are and as they would be."""

    tenant: Tenant
    start: datetime
    end: datetime
    current: list[Due]
    simulated: list[Due]


def candidates(book: Book, at: datetime, tenants: Iterable[str] | None, on_plan: str | None) -> Iterator[str]:
    """Who would be moved, in the order of their ids: who is on a plan, or on ``on_plan``, at ``at`` and is invoiced."""
    chosen = None if tenants is None else {*tenants}
    for on in book.all(TenantPlan):
        tenant = tenant_of(book, on.tenant_id)
        name = on.at(at)
        if chosen is not None and on.tenant_id not in chosen:
            continue
        if name is None or (on_plan is not None and name != on_plan):
            continue
        if not tenant.excluded and tenant.billing is not Billing.NONE:
            yield on.tenant_id


async def simulate(
    tables: Tables, book: Book, plan: Plan, tenants: Sequence[str], at: datetime, rounding: Rounding
) -> list[Compared]:
    """The period of each tenant that ``at`` lies in, under ``plan`` in the place of the tenant's own.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    asked: list[_Asked] = []
    found: dict[str, Compared] = {}
    for id in tenants:
        try:
            asked.append(_asked(book, plan, id, at))
        except PricingError as error:
            found[id] = Compared(id, at, at, None, None, str(error))
    dues = [due for each in asked for due in (*each.current, *each.simulated)]
    quantities = await of_segments(tables, dues, book.metrics, None)

    def side(dues: Sequence[Due]) -> Side | None:
        return _side([priced_period(due, quantities, book, rounding) for due in dues])

    for each in asked:
        id = each.tenant.id
        try:
            found[id] = Compared(id, each.start, each.end, side(each.current), side(each.simulated))
        except PricingError as error:
            found[id] = Compared(id, each.start, each.end, None, None, str(error))
    return [found[id] for id in tenants]


def _asked(book: Book, plan: Plan, id: str, at: datetime) -> _Asked:
    tenant, on, plans = tenant_of(book, id), book.tenant_plan(id), plans_of(book)
    always = TenantPlan(tenant_id=id, spans=(Span(start=ALWAYS, plan=plan.id),))
    now, then = period_at(tenant, on, plans, at), period_at(tenant, always, {plan.id: plan}, at)
    if then is None:
        raise AssertionError("it is always on the plan")
    is_longer = plan.period is not Period.DAILY and _period(plans, on, at) is Period.DAILY
    stretch = then if now is None or is_longer else now
    start, end = stretch.start, stretch.end
    current = _within(tenant, on, plans, start, end)
    other = _moved(on, plan, start, end) if current else always
    return _Asked(tenant, start, end, current, _within(tenant, other, {plan.id: plan}, start, end))


def _period(plans: dict[str, Plan], on: TenantPlan, at: datetime) -> Period | None:
    name = on.at(at)
    return plans[name].period if name is not None else None


def _moved(on: TenantPlan, plan: Plan, start: datetime, end: datetime) -> TenantPlan:
    """On ``plan`` whenever it was on any."""
    spans = tuple(
        span.model_copy(update={"plan": None if span.plan is None else plan.id})
        for span in on.spans
        if span.start < end
    )
    return on.model_copy(update={"spans": spans})


def _within(tenant: Tenant, on: TenantPlan, plans: dict[str, Plan], start: datetime, end: datetime) -> list[Due]:
    """The periods in ``[start, end)``; where they are of other months, the stretch as one."""
    found: list[Due] = []
    for due in walk(tenant, on, plans, start, end):
        if due.start < start or due.end > end:
            return [Due(tenant, start, end, end, segments(on, plans, start, end))]
        found.append(due)
    return found


def _side(periods: Sequence[PricedPeriod]) -> Side | None:
    priced = tuple(each for each in periods if each.bill.currency is not None)
    currencies = {each.bill.currency for each in priced}
    if not priced:
        return None
    if len(currencies) > 1:
        raise SeveralCurrenciesError(sorted(filter(None, currencies)))
    plans = dict.fromkeys(segment.plan.id for each in priced for segment in each.due.segments)
    amount = total(each.bill.total for each in priced)
    return Side(tuple(plans), str(priced[0].bill.currency), amount, priced)


class SeveralCurrenciesError(PricingError):
    """Its periods are in several currencies, which are not added up."""

    def __init__(self, currencies: Sequence[str]) -> None:
        super().__init__(
            f"within the time that is compared its plans are in {' and '.join(currencies)}; "
            "compare a time in which they are in one"
        )
