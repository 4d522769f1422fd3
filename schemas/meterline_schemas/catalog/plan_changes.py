"""Which changes of plans are taken, and of who is on them. Pure.

What was charged, or will be for usage that is there already, may not change its price by a change made later: a version
that has begun stays once a tenant is or was on the plan, and so does a tenant's plan in a period that is invoiced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.entry import FieldProblem, RefusedError
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.catalog.plan import Charge, Measure, Plan, TenantPlan
from meterline_schemas.catalog.price import Percentage
from meterline_schemas.currencies import MINOR_DIGITS

_MOST_BYTES: Final = 256 * 1024  # a record that tells of a change holds a plan twice
_NOT_MONEY: Final = (Aggregation.COUNT, Aggregation.UNIQUE_COUNT)

ClosedUntil = Callable[[str], datetime | None]
"""Until when a tenant's usage is invoiced; None: nothing of it is. It is asked with the writer's turn taken."""


def check_plan(book: Book, plan: Plan, now: datetime) -> None:
    """Raises RefusedError: ``invalid``, or ``meaning`` where what has begun would change."""
    check_terms(book, plan)
    before = book.plan(plan.id)
    if before is not None and any(each.start <= now for used in users_of(book, plan.id) for each in used.spans):
        problems = list(_rewritten(before, plan, now))
        if problems:
            raise RefusedError("meaning", problems)


def check_terms(book: Book, plan: Plan) -> None:
    """Raises RefusedError, ``invalid``: it cannot be charged as it is, whoever may be on it."""
    problems = list(_wrong(book, plan))
    if problems:
        raise RefusedError("invalid", problems)


def check_tenant_plan(book: Book, wanted: TenantPlan, closed_until: ClosedUntil | None) -> None:
    """Raises RefusedError: ``invalid``, or ``meaning`` where the plan of an invoiced period would change."""
    problems = [
        FieldProblem(f"spans.{n}.plan", f"there is no plan {span.plan!r}; define it first")
        for n, span in enumerate(wanted.spans)
        if span.plan is not None and book.plan(span.plan) is None
    ]
    if problems:
        raise RefusedError("invalid", problems)
    closed = closed_until(wanted.tenant_id) if closed_until is not None else None
    if closed is not None and wanted.before(closed) != book.tenant_plan(wanted.tenant_id).before(closed):
        until = closed.isoformat().replace("+00:00", "Z")
        detail = f"tenant {wanted.tenant_id!r} is invoiced until {until}: its plan changes from then on only"
        raise RefusedError("meaning", [FieldProblem("spans", detail)])


def users_of(book: Book, plan: str) -> Iterator[TenantPlan]:
    """Every tenant that is, was or will be on a plan; of each only the spans on it."""
    for each in book.all(TenantPlan):
        spans = tuple(span for span in each.spans if span.plan == plan)
        if spans:
            yield each.model_copy(update={"spans": spans})


def plans_of(book: Book, metric: str) -> list[Plan]:
    """The plans of which any version charges a metric."""
    return [plan for plan in book.all(Plan) if any(version.charge(metric) for version in plan.versions)]


def _wrong(book: Book, plan: Plan) -> Iterator[FieldProblem]:
    if plan.currency not in MINOR_DIGITS:
        yield FieldProblem("currency", f"{plan.currency} is no currency of ISO 4217; write one such as EUR or USD")
    if len(plan.encode()) > _MOST_BYTES:
        yield FieldProblem("versions", f"are more than {_MOST_BYTES} bytes together; define another plan")
    for n, version in enumerate(plan.versions):
        for k, charge in enumerate(version.charges):
            metric = book.find(Metric, charge.metric)
            where = f"versions.{n}.charges.{k}"
            if metric is None:
                yield FieldProblem(f"{where}.metric", f"{charge.metric!r} is not defined; define the metric first")
            else:
                yield from _unfit(where, charge, metric)


def _unfit(where: str, charge: Charge, metric: Metric) -> Iterator[FieldProblem]:
    named, is_gauge = f"{metric.key!r} is a {metric.aggregation}", metric.aggregation is Aggregation.TIME_WEIGHTED
    if charge.measure is Measure.UNIT_MONTHS and not is_gauge:
        yield FieldProblem(f"{where}.measure", f"{named}: only a time_weighted metric has unit_months; leave it out")
    if isinstance(charge.price, Percentage):
        if metric.aggregation in _NOT_MONEY:
            detail = f"{named}, which is no money to take a percentage of; write a price of a unit"
            yield FieldProblem(f"{where}.price.model", detail)
        elif is_gauge and charge.measure is not Measure.UNIT_MONTHS:
            detail = f"{named}: money x hours is no money; measure it as unit_months"
            yield FieldProblem(f"{where}.measure", detail)


def _rewritten(before: Plan, plan: Plan, now: datetime) -> Iterator[FieldProblem]:
    """What would change of what tenants were on."""
    for name in ("currency", "period"):
        was, will = getattr(before, name), getattr(plan, name)
        if was != will:
            yield FieldProblem(name, f"is {was} and tenants are or were on it: define another plan in {will}")
    begun = before.begun(now)
    for n, version in enumerate(begun):
        if n >= len(plan.versions) or plan.versions[n] != version:
            yield FieldProblem(
                f"versions.{n}",
                "has begun and tenants are or were on it: it stays as it is. Add a version with a `start` to come",
            )
            return
    for n, version in enumerate(plan.versions[len(begun) :], len(begun)):
        if version.start is not None and version.start <= now:
            at = version.start.isoformat().replace("+00:00", "Z")
            yield FieldProblem(
                f"versions.{n}.start", f"{at} has passed and tenants are or were on the plan; write one to come"
            )
