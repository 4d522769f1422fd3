"""Usage that nothing charges: of a metric without a price, of a tenant without a plan. Pure.

``suspects`` are told by the first and last hour that each metric was used in; what was used between is looked up, and
``exceptions`` are those of which anything was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from meterline_api.billing.exceptions.found import Found, Kind, said
from meterline_api.billing.invoices.periods import plans_of
from meterline_api.billing.pricing.segments import Segment, segments
from meterline_schemas.catalog import Billing, Book, Tenant, TenantPlan
from meterline_schemas.errors import MeterlineError

_HOUR: Final = timedelta(hours=1)


class Seen(NamedTuple):
    """A tenant's metric, and the starts of the first and the last hour that it was used in."""

    tenant_id: str
    metric: str
    first: datetime
    last: datetime


class Suspect(NamedTuple):
    """Whatever a tenant used of a metric in ``[start, end)`` is not charged. ``plan`` is that without a price."""

    kind: Kind
    tenant_id: str
    metric: str
    start: datetime
    end: datetime
    since: datetime
    plan: str = ""


class Used(NamedTuple):
    """How many events, and what they come to."""

    events: int
    quantity: Decimal


def suspects(book: Book, seen: Iterable[Seen], since: datetime, until: datetime) -> Iterator[Suspect]:
    """What may have been used in ``[since, until)`` without a price. Who is never charged is left out."""
    plans = plans_of(book)
    known: dict[str, tuple[Segment, ...]] = {}
    for each in seen:
        tenant = book.find(Tenant, each.tenant_id)
        if tenant is not None and (tenant.excluded or tenant.billing is Billing.NONE):
            continue
        if each.tenant_id not in known:
            try:
                known[each.tenant_id] = segments(book.find(TenantPlan, each.tenant_id), plans, since, until)
            except MeterlineError:  # on a plan that is not there: its periods are told as not closed
                continue
        for start, end, plan in _without_price(known[each.tenant_id], each.metric, since, until):
            if start < each.last + _HOUR and each.first < end:
                kind = Kind.UNPRICED_USAGE if plan else _without_plan(book, each.tenant_id)
                yield Suspect(kind, each.tenant_id, each.metric, start, end, max(start, each.first), plan)


def exceptions(found: Mapping[Suspect, Used]) -> Iterator[Found]:
    """Of what was used indeed."""
    for suspect, used in found.items():
        if used.events or used.quantity:
            yield _told(suspect, used)


def _without_price(
    on: Iterable[Segment], metric: str, since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime, str]]:
    """The parts of ``[since, until)`` in which a metric has no price, each with the plan that the tenant is on."""
    at = since
    for segment in on:
        if at < segment.start:
            yield at, segment.start, ""
        if segment.version.charge(metric) is None:
            yield segment.start, segment.end, segment.plan.id
        at = segment.end
    if at < until:
        yield at, until, ""


def _without_plan(book: Book, tenant_id: str) -> Kind:
    named = book.find(Tenant, tenant_id) is not None or book.find(TenantPlan, tenant_id) is not None
    return Kind.NO_PLAN if named else Kind.UNKNOWN_TENANT


def _told(suspect: Suspect, used: Used) -> Found:
    id, metric = suspect.tenant_id, suspect.metric
    when = f"between {said(suspect.start)} and {said(suspect.end)}"
    match suspect.kind:
        case Kind.UNPRICED_USAGE:
            detail = f"tenant {id!r} used {metric} {when}, which plan {suspect.plan!r} has no charge for"
            action = f"add a charge for {metric} to the plan's next version, with a price of 0 where it is free"
        case Kind.NO_PLAN:
            detail = f"tenant {id!r} used {metric} {when} and was on no plan"
            action = "put it on a plan from then on (PUT /v1/tenants/{id}/plan), or say why it is `excluded`"
        case _:
            detail = f"tenant {id!r}, which nobody has named, used {metric} {when}"
            action = "if it is a customer, name it and put it on a plan; else see who sends this id (GET /v1/events)"
    return Found(
        suspect.kind,
        id,
        detail,
        action,
        metric,
        suspect.start,
        suspect.end,
        suspect.since,
        used.quantity,
        used.events,
    )
