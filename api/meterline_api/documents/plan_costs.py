"""What usage costs by the plans that a tenant is on: what the documents' paths show where it is on one.

A range that is a period of the plan costs what its invoice says. Of a part of a period the base fee, what is included
and the like are taken times the share, as where a plan changes within a period.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from typing import Final

from fastapi import Request

from meterline_api.billing.estimates.estimate import Estimate, estimate
from meterline_api.billing.estimates.priced import priced_period
from meterline_api.billing.invoices.periods import Due, plans_of, tenant_of, walk
from meterline_api.billing.invoices.quantities import Tables, of_segments
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.invoices.store import Wanted
from meterline_api.billing.pricing.bill import Bill, Part, Usage, measured
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.pricing.money import Rounding, decimal_of, total
from meterline_api.billing.pricing.rating import unit_price
from meterline_api.billing.pricing.segments import Segment, share_of
from meterline_api.documents.costs import Cost
from meterline_api.problems import Code, Problem
from meterline_schemas.billing.invoice import DocumentKind, Invoice, LineKind, Status
from meterline_schemas.catalog import Book
from meterline_schemas.errors import UnavailableError
from meterline_schemas.quantity import DECIMALS

_MOST: Final = 400  # periods of a range: a year of days
_NONE: Final = Usage(Decimal(0), Decimal(0))


@dataclass(frozen=True)
class PlanCosts:
    """What a range costs. ``costs`` are by metric, of those that the plans charge, used or not.

    ``included`` of a cost is what is included in the range, ``rate`` the price of a unit where all have one.
    """

    plan: str
    currency: str
    bills: tuple[Bill, ...]
    costs: Mapping[str, Cost]

    @property
    def base_fee(self) -> Decimal:
        lines = (line for found in self.bills for line in found.lines)
        return total(line.amount for line in lines if line.kind is LineKind.BASE_FEE)

    @property
    def unpriced(self) -> dict[str, Decimal]:
        """What was used of metrics that the plans do not charge."""
        found: dict[str, Decimal] = {}
        for each in (one for found_bill in self.bills for one in found_bill.unpriced):
            found[each.metric] = total((found.get(each.metric, Decimal(0)), each.quantity))
        return found

    @property
    def total(self) -> Decimal:
        return total(found.total for found in self.bills)


async def plan_costs(
    tables: Tables, book: Book, tenant_id: str, start: datetime, end: datetime, rounding: Rounding
) -> PlanCosts | None:
    """None: the tenant is on no plan in ``[start, end)``.

    Raises:
        Problem: 409, it cannot be priced; 422, the range has too many periods; 503.
    """
    tenant, on, plans = tenant_of(book, tenant_id), book.tenant_plan(tenant_id), plans_of(book)
    try:
        dues: list[Due] = []
        for due in walk(tenant, on, plans, start.astimezone(UTC), end):
            if len(dues) == _MOST:
                detail = f"the range has more than {_MOST} periods of the tenant's plan; ask for less"
                raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_RANGE, detail)
            dues.append(_clipped(due, start, end))
        found = await of_segments(tables, dues, book.metrics, None)
        priced = [priced_period(due, found, book, rounding) for due in dues if due.segments]
        return _of([(each.parts, each.bill) for each in priced])
    except PricingError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _away(error) from None


async def running_costs(
    tables: Tables, book: Book, tenant_id: str, now: datetime, rounding: Rounding
) -> tuple[Estimate, PlanCosts, PlanCosts] | None:
    """The open period, as it is and as it will be; None: the tenant is on no plan now.

    Raises:
        Problem: as ``plan_costs``.
    """
    try:
        found = await estimate(tables, book, tenant_id, now, rounding)
        if found is None:
            return None
        current = _of([(found.current.parts, found.current.bill)])
        projected = _of([(found.then, found.projected)])
        return None if current is None or projected is None else (found, current, projected)
    except PricingError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _away(error) from None


async def kept_invoice(request: Request, tenant_id: str, start: datetime, end: datetime) -> Invoice | None:
    """The invoice that was closed for exactly ``[start, end)``; a void one where there is no other.

    Raises:
        Problem: 503.
    """
    invoices: Invoices = request.app.state.invoices
    wanted = Wanted((tenant_id,), DocumentKind.INVOICE, start, start + timedelta(milliseconds=1), limit=10)
    try:
        found = [each for each in await invoices.closer.store.page(wanted) if (each.start, each.end) == (start, end)]
    except UnavailableError as error:
        raise _away(error) from None
    return next((each for each in found if each.status is not Status.VOID), next(iter(found), None))


def rounding_of(request: Request) -> Rounding:
    """How lines are rounded here."""
    invoices: Invoices = request.app.state.invoices
    return invoices.settings.rounding


def _clipped(due: Due, start: datetime, end: datetime) -> Due:
    """The part of a period that lies in ``[start, end)``."""
    segments: list[Segment] = []
    for each in due.segments:
        begin, until = max(each.start, start.astimezone(UTC)), min(each.end, end.astimezone(UTC))
        if begin < until:
            share = share_of(begin, until, due.start, due.end)
            segments.append(replace(each, start=begin, end=until, share=share))
    return due._replace(segments=tuple(segments))


def _of(found: Sequence[tuple[Sequence[Part], Bill]]) -> PlanCosts | None:
    parts = [part for of_period, _bill in found for part in of_period]
    currencies = {each.currency for _parts, each in found if each.currency is not None}
    if not parts:
        return None
    if len(currencies) > 1:
        detail = f"its plans are in {' and '.join(sorted(currencies))} within the range, and here costs are summed"
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, f"{detail}: ask for a range of one")
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for _parts, each in found:
        for line in each.lines:
            amounts[line.metric] = total((amounts[line.metric], line.amount))
    last, _used = parts[-1]
    costs = {metric: _cost(metric, parts, amounts.get(metric, Decimal(0))) for metric in _charged(parts)}
    return PlanCosts(last.plan.id, last.plan.currency, tuple(each for _parts, each in found), costs)


def _charged(parts: Sequence[Part]) -> dict[str, None]:
    return dict.fromkeys(charge.metric for segment, _used in parts for charge in segment.version.charges)


def _cost(metric: str, parts: Sequence[Part], amount: Decimal) -> Cost:
    quantity = included = overage = Fraction(0)
    rates: set[Decimal | None] = set()
    for segment, used in parts:
        charge = segment.version.charge(metric)
        if charge is None:
            continue
        mine = Fraction(measured(charge, used.get(metric, _NONE), segment.plan.id))
        free = Fraction(charge.included) * segment.share
        quantity += mine
        included += free
        overage += max(mine - free, Fraction(0))
        rates.add(unit_price(charge.price))
    rate = rates.pop() if len(rates) == 1 else None
    currency = parts[-1][0].plan.currency
    return Cost(_shown(quantity), _shown(included), _shown(overage), rate, amount, currency)


def _shown(value: Fraction) -> Decimal:
    return decimal_of(value, DECIMALS)


def _away(error: UnavailableError) -> Problem:
    headers = {"Retry-After": "5"}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers=headers)
