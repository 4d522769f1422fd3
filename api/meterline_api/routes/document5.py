"""``/usage/report`` and ``/billing``: requirement document 5's endpoints, in its forms.

Its ``/health`` and ``/metrics`` are those of every installation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from meterline_api.access.guard import caller, denied, needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.document5 import forms, models
from meterline_api.documents.costs import cost_of
from meterline_api.documents.period_usage import PAGE, rows_of, used
from meterline_api.documents.plan_costs import kept_invoice, plan_costs, rounding_of
from meterline_api.documents.reporting import record_report
from meterline_api.documents.shared import (
    READS,
    TRACKS,
    DocumentRoute,
    answer,
    errors,
    find_metric,
    hours,
    iso_instant,
    json_body,
    read_form,
    service_of,
    wrong,
)
from meterline_api.documents.tracking import track
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.submissions import Submission
from meterline_api.usage.query import UsageQuery, Window
from meterline_schemas.event import MAX_ID
from meterline_schemas.reading import InvalidLine

router = APIRouter(route_class=DocumentRoute, tags=["document 5"])

_READ: Final = [needs(Right.READ_USAGE)]
TenantPath = Annotated[str, Path(max_length=MAX_ID)]
Start = Annotated[
    str | None,
    Query(alias="from", max_length=50, description="Unix seconds or ISO 8601, a whole hour; by default this month's."),
]
End = Annotated[str | None, Query(alias="to", max_length=50, description="Not included; by default up to now.")]


@router.post(
    "/usage/report",
    response_model=models.RecordedModel,
    responses=errors(*TRACKS),
    openapi_extra=json_body(models.REPORT_SCHEMA, example=models.REPORT_EXAMPLE),
    summary="Report usage of a service",
    dependencies=[needs(Right.WRITE_EVENTS)],
)
async def report_usage(request: Request) -> Response:
    """One usage record of the metric `service.usage_type`, which must be defined; `recorded` once Kafka holds it.

    `timestamp` may lie as far back as `METERLINE_ACCEPT_PAST` says.
    """
    body = await read_form(request, forms.read_report)
    if isinstance(body, InvalidLine):
        await track(request, [body])  # which refuses it
        raise AssertionError
    tenant_id = body.tenant_id or caller(request).only_tenant
    if tenant_id is None:
        raise wrong("tenant_id", "is missing: this key or token does not stand for one tenant")
    at = None if body.timestamp is None else forms.instant(body.timestamp)
    if body.timestamp is not None and at is None:
        raise wrong("timestamp", "must be Unix seconds, such as 1640995200")
    metric = find_metric(service_of(request), tenant_id, forms.metric_of(body.service, body.usage_type))
    submission = Submission(tenant_id, metric.key, body.quantity, None, at, properties=body.metadata)
    (tracked,) = await track(request, [submission])
    return answer(
        {
            "id": tracked.id,
            "status": "recorded",
            "tenant_id": tenant_id,
            "quantity": tracked.number,
            "message": "Usage recorded successfully",
        }
    )


@router.get(
    "/billing/invoice/{tenant}",
    response_model=models.InvoiceModel,
    responses=errors(409, *READS),
    summary="An invoice of a tenant's usage",
    dependencies=_READ,
)
async def get_invoice(
    request: Request,
    tenant: TenantPath,
    start: Start = None,
    end: End = None,
    currency: Annotated[
        str | None, Query(pattern="^[A-Z]{3}$", description="Only what has its price in this currency.")
    ] = None,
) -> Response:
    """What usage in `[from, to)` costs. Of the finance role, and of a tenant's own viewers.

    By the tenant's plan: the invoice that was closed for this period or, for any other range, what it comes to; of a
    part of a period the base fee, and what is included, are taken in proportion. Without a plan under the flat prices
    of its quotas, or of those for all: what they include is taken off once. Each item is rounded once.

    **409**: prices are in several currencies; choose one.
    """
    refuse_unseen(request, tenant)
    principal = caller(request)
    if principal.tenants is None and not principal.may(Right.MANAGE_FINANCE):
        raise denied(f"invoices of all tenants need {Right.MANAGE_FINANCE}")
    service, now = service_of(request), datetime.now(UTC)
    period = hours(_instant(start, "from"), _instant(end, "to"), now)
    found = await _by_plan(request, tenant, period, currency) or await _by_quotas(
        service, tenant, period, currency, now
    )
    details = {"filters": {"tenant": tenant, "from": start, "to": end}, "recordCount": len(found["items"])}
    await record_report(request, "billing.invoice.generated", "billing", details)
    return answer(found)


@router.get(
    "/billing/usage/{tenant}",
    response_model=models.TenantUsageModel,
    responses=errors(*READS),
    summary="A tenant's usage by service",
    dependencies=_READ,
)
async def get_tenant_usage(request: Request, tenant: TenantPath, start: Start = None, end: End = None) -> Response:
    """Usage in `[from, to)` by service and usage type, with that of as long a period before, and of each day."""
    refuse_unseen(request, tenant)
    service, now = service_of(request), datetime.now(UTC)
    first, last = hours(_instant(start, "from"), _instant(end, "to"), now)
    rows = await used(service, tenant, first, last, now)
    earliest = max(first - (last - first), datetime(1970, 1, 1, tzinfo=UTC))
    before = await used(service, tenant, earliest, first, now) if earliest < first else {}
    days = await rows_of(service, UsageQuery(first, last, Window.DAY, (tenant,), limit=PAGE), now)
    return answer(forms.usage(tenant, (first, last), rows, before, days))


async def _by_plan(
    request: Request, tenant: str, period: tuple[datetime, datetime], currency: str | None
) -> dict[str, Any] | None:
    """None: the tenant is on no plan in the period."""
    kept = await kept_invoice(request, tenant, *period)
    if kept is not None:
        lines = kept.lines if currency in (None, kept.currency) else ()
        return forms.plan_invoice(tenant, period, lines, {}, currency or kept.currency, kept)
    service = service_of(request)
    costs = await plan_costs(service.clickhouse, service.catalog.book, tenant, *period, rounding_of(request))
    if costs is None:
        return None
    if currency not in (None, costs.currency):
        return forms.plan_invoice(tenant, period, (), {}, str(currency), None)
    lines = tuple(line for bill in costs.bills for line in bill.lines)
    return forms.plan_invoice(tenant, period, lines, costs.unpriced, costs.currency, None)


async def _by_quotas(
    service: Service, tenant: str, period: tuple[datetime, datetime], currency: str | None, now: datetime
) -> dict[str, Any]:
    """Raises Problem: 409, prices are in several currencies."""
    book = service.catalog.book
    rows = await used(service, tenant, *period, now)
    costs = {metric: cost_of(book.quota(tenant, metric), Decimal(row.value)) for metric, row in rows.items()}
    found = sorted({cost.currency for cost in costs.values() if cost.currency is not None})
    if currency is None and len(found) > 1:
        detail = f"prices of {tenant!r} are in {' and '.join(found)}; choose one with currency="
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, detail)
    chosen = currency or next(iter(found), forms.DEFAULT_CURRENCY)
    mine = {metric: cost for metric, cost in costs.items() if cost.currency in (None, chosen)}
    return forms.invoice(tenant, period, mine, chosen)


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    return forms.seconds_of(text) or iso_instant(text, field)[0]
