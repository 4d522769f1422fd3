"""Which changes of the catalog are taken. Pure: a catalog and a wish in, the entry to write out, or a refusal.

Nothing that was counted may change its meaning by a change made later: where that would happen the refusal says so,
and names the way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any, Final, NoReturn, TypeVar

from meterline_schemas.catalog.api_key import ApiKey
from meterline_schemas.catalog.book import Book, counts_in_stream
from meterline_schemas.catalog.entry import Entry, FieldProblem, RefusedError, read_entry
from meterline_schemas.catalog.metering import check_metered_since
from meterline_schemas.catalog.metric import Metric
from meterline_schemas.catalog.plan import Plan, TenantPlan
from meterline_schemas.catalog.plan_changes import ClosedUntil, check_plan, check_tenant_plan, plans_of, users_of
from meterline_schemas.catalog.quota import Quota
from meterline_schemas.catalog.stripe_meter import StripeMeter, cannot_be_metered
from meterline_schemas.catalog.tenant import Billing, Tenant
from meterline_schemas.catalog.threshold import Threshold
from meterline_schemas.catalog.webhook import Webhook
from meterline_schemas.periods import LAST

_MEANING: Final = ("aggregation", "unit", "unique_by", "tenant_id")

Kind = TypeVar("Kind", bound=Entry)


def check(book: Book, entry: Entry, *, now: datetime = LAST, closed_until: ClosedUntil | None = None) -> Entry:
    """``entry`` as it may be written, new or in the place of the one with its key: checked against the others.

    ``now`` and ``closed_until`` matter to plans and to who charges a tenant: what has begun or is invoiced stays.
    Without ``now`` all has begun.

    Raises:
        RefusedError: with every reason.
    """
    match entry:
        case Metric():
            _check_metric(book, entry)
        case Quota():
            _check_limit(book, entry)
        case Threshold():
            _check_limit(book, entry)
            unknown = [name for name in entry.notify_webhooks or () if book.find(Webhook, name) is None]
            if unknown:
                _refuse("invalid", "notify_webhooks", f"{', '.join(unknown)}: not defined; define the webhook first")
        case Tenant():
            return _check_tenant(book, entry, now, closed_until)
        case Plan():
            check_plan(book, entry, now)
        case TenantPlan():
            check_tenant_plan(book, entry, closed_until)
        case StripeMeter():
            _check_meter(book, entry)
        case Webhook() | ApiKey():
            pass
    return entry


def check_denied(entry: Entry, denied: Set[str]) -> None:
    """``denied`` are the properties that nothing is kept of, in the form of ``str.casefold``.

    Raises:
        RefusedError: ``entry`` is a metric that counts the values of one.
    """
    if isinstance(entry, Metric) and entry.counts_any_of(denied):
        _refuse(
            "invalid",
            "unique_by",
            f"nothing is kept of the property {entry.unique_by!r}, so that its values cannot be counted: "
            "METERLINE_DENIED_PROPERTIES names it; count another, such as an opaque id",
        )


def create(book: Book, entry: Kind, *, now: datetime = LAST, closed_until: ClosedUntil | None = None) -> Kind:
    """``entry`` as it may be written where there is none of its key yet.

    Raises:
        RefusedError: ``conflict``, and what ``check`` raises.
    """
    found = book.find(type(entry), entry.identity)
    if found is not None:
        match entry:
            case Quota():
                whose = f"tenant {entry.tenant_id!r}" if entry.tenant_id else "all tenants"
                whose += f", subject {entry.subject!r}" if entry.subject else ""
                _refuse(
                    "conflict",
                    "metric",
                    f"{whose} already have a quota of {entry.metric}: two would overlap. Change that one, "
                    f"or delete it first",
                )
            case _:
                field = "key" if isinstance(entry, Metric) else "id"
                _refuse("conflict", field, f"{entry.kind} {entry.identity!r} is defined already; update it instead")
    check(book, entry, now=now, closed_until=closed_until)
    return entry


def update(
    book: Book,
    kind: type[Kind],
    identity: str,
    fields: Mapping[str, Any],
    *,
    now: datetime = LAST,
    closed_until: ClosedUntil | None = None,
) -> Kind:
    """The entry with ``fields`` changed.

    Raises:
        RefusedError: ``not_found``, and what ``check`` raises.
    """
    found = existing(book, kind, identity)
    given = {name: value for name, value in found.model_dump().items() if name not in ("version", "changed_at")}
    changed = read_entry(kind, {**given, **fields})
    if changed.identity != identity:
        _refuse("invalid", "", f"{kind.kind} {identity!r} keeps its key; define a new one and delete this one")
    check(book, changed, now=now, closed_until=closed_until)
    return changed


def delete(
    book: Book,
    kind: type[Kind],
    identity: str,
    *,
    has_usage: bool = False,
    closed_until: ClosedUntil | None = None,
) -> Kind:
    """The entry that may be deleted. ``has_usage`` is of a metric: whether any event of it was ever counted.

    Raises:
        RefusedError: ``not_found``, ``has_usage``, or ``in_use`` by another entry.
    """
    found = existing(book, kind, identity)
    match found:
        case Metric():
            if has_usage:
                _refuse(
                    "has_usage",
                    "key",
                    f"metric {identity!r} has usage, which must stay explainable; archive it instead "
                    f'(set "retired": true): it is no longer offered and what comes still counts',
                )
            limits: list[Quota | Threshold] = [*book.all(Quota), *book.all(Threshold)]
            users = [limit for limit in limits if limit.metric == identity]
            _refuse_in_use("key", identity, [*users, *plans_of(book, identity)])
        case Webhook():
            users = [one for one in book.all(Threshold) if identity in (one.notify_webhooks or ())]
            _refuse_in_use("id", identity, users)
        case Plan():
            tenants = [each.tenant_id for each in users_of(book, identity)]
            if tenants:
                _refuse(
                    "in_use",
                    "id",
                    f"tenants are, were or will be on plan {identity!r}, such as {', '.join(tenants[:5])}: what they "
                    "were charged must stay explainable. Leave it, and put them on another",
                )
        case TenantPlan():
            check_tenant_plan(book, TenantPlan(tenant_id=identity), closed_until)
        case Tenant():
            if found.metering and book.tenant_plan(identity).spans:
                _refuse(
                    "in_use",
                    "id",
                    f"Stripe's meters charge days of {identity!r}, which would be invoiced if that were forgotten; set "
                    "`excluded` instead",
                )
    return found


def existing(book: Book, kind: type[Kind], identity: str) -> Kind:
    """Raises RefusedError (``not_found``) where there is none."""
    found = book.find(kind, identity)
    if found is None:
        raise RefusedError("not_found", [FieldProblem("", f"there is no {kind.kind} {identity!r}")])
    return found


def _check_metric(book: Book, metric: Metric) -> None:
    before = book.find(Metric, metric.key)
    if before is None:
        return
    problems = [
        FieldProblem(
            name,
            f"is {getattr(before, name) or 'empty'} and cannot become {getattr(metric, name) or 'empty'}: numbers that "
            "were reported would mean something else; define a new metric, and retire this one",
        )
        for name in _MEANING
        if getattr(before, name) != getattr(metric, name)
    ]
    if problems:
        raise RefusedError("meaning", problems)


def _check_tenant(book: Book, tenant: Tenant, now: datetime, closed_until: ClosedUntil | None) -> Tenant:
    other = book.tenant_of_customer(tenant.stripe_customer)
    if other not in (None, tenant.id):
        _refuse(
            "conflict",
            "stripe_customer",
            f"{tenant.stripe_customer} is tenant {other!r}: what one is told of a day would replace the other's",
        )
    before = book.find(Tenant, tenant.id)
    found = tenant if now == LAST else tenant.following(before, now)
    was = before.metered_since if before is not None and before.billing is Billing.METER else None
    if found.billing is Billing.METER and found.metered_since not in (None, was):
        check_metered_since(found, was, now, closed_until(tenant.id) if closed_until is not None else None)
    return found


def _check_meter(book: Book, meter: StripeMeter) -> None:
    metric = book.find(Metric, meter.metric)
    if metric is None:
        _refuse("invalid", "metric", f"{meter.metric!r} is not defined; define the metric first")
    why = cannot_be_metered(metric)
    if why is not None:
        _refuse("invalid", "metric", why)
    for other in book.all(StripeMeter):
        if other.metric != meter.metric and meter.meter == other.meter:
            _refuse("conflict", "meter", f"{meter.meter} is the meter of {other.metric!r}: their days would mix")
    before = book.find(StripeMeter, meter.metric)
    if before is not None and before.meter == meter.meter:
        for name in ("scale", "measure", "included"):
            if getattr(before, name) != getattr(meter, name):
                _refuse("meaning", name, f"the values of {meter.meter} would mean something else; set up another meter")


def _check_limit(book: Book, limit: Quota | Threshold) -> None:
    metric = book.find(Metric, limit.metric)
    if metric is None:
        _refuse("invalid", "metric", f"{limit.metric!r} is not defined; define the metric first")
    if not counts_in_stream(metric.aggregation):
        _refuse(
            "invalid",
            "metric",
            f"{limit.metric!r} is a {metric.aggregation}, which only its events can tell; a {limit.kind} needs "
            "count, sum, avg, min, max, last or time_weighted",
        )
    if metric.tenant_id and limit.tenant_id != metric.tenant_id:
        _refuse("invalid", "tenant_id", f"metric {limit.metric!r} belongs to tenant {metric.tenant_id!r} alone")


def _refuse_in_use(field: str, identity: str, users: list[Any]) -> None:
    if users:
        named = ", ".join(f"{one.kind} {one.identity!r}" for one in users[:5])
        _refuse("in_use", field, f"{identity!r} is used by {named}; delete that first")


def _refuse(code: str, field: str, detail: str) -> NoReturn:
    raise RefusedError(code, [FieldProblem(field, detail)])
