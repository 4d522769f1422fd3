"""Monthly recurring revenue: the base fees of the plans that tenants are on at an instant, by the month. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from meterline_api.billing.invoices.periods import plans_of, tenant_of
from meterline_api.billing.pricing.errors import UnknownPlanError
from meterline_api.billing.pricing.money import Rounding, decimal_of, rounded, total
from meterline_schemas.catalog import Billing, Book, Plan, TenantPlan
from meterline_schemas.periods import Period

_DAYS: Final = Fraction(365, 12)
"""Of a month, whichever it is: else what recurs would change where no fee does."""


@dataclass(frozen=True)
class OfPlan:
    """``fee`` is the base fee of one period at the instant, ``monthly`` of a month, rounded once."""

    plan: Plan
    fee: Decimal
    monthly: Decimal
    tenants: int

    @property
    def mrr(self) -> Decimal:
        return decimal_of(Fraction(self.monthly) * self.tenants)


@dataclass(frozen=True)
class Recurring:
    """In one currency, ``plans`` by their ids; ``average`` is of a tenant that pays a base fee, None without any."""

    currency: str
    plans: tuple[OfPlan, ...]
    average: Decimal | None

    @property
    def mrr(self) -> Decimal:
        return total(each.mrr for each in self.plans)

    @property
    def tenants(self) -> int:
        """Who pays a base fee."""
        return sum(each.tenants for each in self.plans if each.fee)

    @property
    def without_fee(self) -> int:
        """Who is billed by a plan that has none."""
        return sum(each.tenants for each in self.plans if not each.fee)


@dataclass
class AllRecurring:
    """By currency. ``problems`` has a sentence for each tenant of which it cannot be said."""

    found: list[Recurring] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def monthly(fee: Decimal, period: Period) -> Fraction:
    """A base fee of a period by the month, exact."""
    match period:
        case Period.DAILY:
            return Fraction(fee) * _DAYS
        case _:
            return Fraction(fee)


def recurring(book: Book, at: datetime, among: Collection[str] | None, rounding: Rounding) -> AllRecurring:
    """Of ``among`` (None: of everybody) those who are billed and on a plan at an instant, ahead too.

    Plans are those of the instant. Who is never invoiced by now, as free and test tenants, is left out.
    """
    answer = AllRecurring()
    plans = plans_of(book)
    counts = Counter[str]()
    for on in book.all(TenantPlan):
        tenant, plan = tenant_of(book, on.tenant_id), on.at(at)
        if plan is None or (among is not None and tenant.id not in among):
            continue
        if tenant.excluded or tenant.billing is Billing.NONE:
            continue
        if plan in plans:
            counts[plan] += 1
        else:
            answer.problems.append(str(UnknownPlanError(tenant.id, plan)))
    by_currency: dict[str, list[OfPlan]] = defaultdict(list)
    for plan, tenants in sorted(counts.items()):
        found = plans[plan]
        fee = found.at(at).base_fee
        each = rounded(monthly(fee, found.period), found.currency, rounding)
        by_currency[found.currency].append(OfPlan(found, fee, each, tenants))
    for currency, those in sorted(by_currency.items()):
        answer.found.append(Recurring(currency, tuple(those), _average(currency, those, rounding)))
    return answer


def _average(currency: str, plans: Collection[OfPlan], rounding: Rounding) -> Decimal | None:
    paying = sum(each.tenants for each in plans if each.fee)
    if not paying:
        return None
    return rounded(Fraction(total(each.mrr for each in plans)) / paying, currency, rounding)
