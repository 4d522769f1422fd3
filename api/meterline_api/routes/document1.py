"""``GET /admin/billing/usage``: requirement document 1's report, in its forms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.document1.report import FailureModel, Line, ReportModel, in_months, report
from meterline_api.documents.costs import unit_months
from meterline_api.documents.period_usage import PAGE, rows_of
from meterline_api.documents.reporting import record_report
from meterline_api.documents.shared import DocumentRoute, answer, errors, hours, iso_instant, service_of
from meterline_api.models import UsageRow
from meterline_api.problems import Problem
from meterline_api.usage.query import Dimension, UsageQuery, Window
from meterline_schemas.event import MAX_ID


class ReportRoute(DocumentRoute):
    """Its errors have the document's codes, and a list of what is wrong."""

    def in_form(self, problem: Problem) -> Response:
        code, message = str(problem.code), problem.detail
        if problem.status is HTTPStatus.UNPROCESSABLE_ENTITY:
            code, message = "validation_error", "Query validation failed."
        elif problem.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            code, message = "server_error", "Internal server error generating usage report."
        details = problem.more.get("errors") or [{"field": "", "detail": problem.detail}]
        body = {"error": {"code": code, "message": message, "details": details}}
        return answer(body, int(problem.status), problem.headers)


router = APIRouter(route_class=ReportRoute, dependencies=[needs(Right.MANAGE_FINANCE)], tags=["document 1"])


@router.get(
    "/admin/billing/usage",
    response_model=ReportModel,
    responses=errors(503, model=FailureModel),
    summary="Usage of every tenant, for an external billing system",
)
async def get_admin_billing_usage(
    request: Request,
    tenantId: Annotated[str | None, Query(min_length=1, max_length=MAX_ID)] = None,
    start: Annotated[
        str | None, Query(alias="from", max_length=50, description="ISO 8601, a whole hour; by default this month's.")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", max_length=50, description="ISO 8601, not included; by default up to now.")
    ] = None,
) -> Response:
    """Requirement document 1: a line for each tenant and feature with usage in `[from, to)`, and the totals of
    `storage_gb_month`, `job_execution_unit` and `transaction`. Numbers are JSON numbers with every digit.

    A date without a time is its first instant in UTC. A gauge named `…gb_month…` is told in GB-months (its GB-hours
    by the hours of each month), any other in its unit x hours. That a report was made is written to the audit log.
    """
    service, now = service_of(request), datetime.now(UTC)
    tenants = tenants_of(request, tenantId)
    first, last = hours(
        None if start is None else iso_instant(start, "from")[0],
        None if end is None else iso_instant(end, "to")[0],
        now,
    )
    metrics = service.catalog.book.metrics
    by_tenant = (Dimension.TENANT_ID,)
    rows = await rows_of(service, UsageQuery(first, last, None, tenants, group_by=by_tenant, limit=PAGE), now)
    lines = [_line(row) for row in rows if not in_months(metrics.get(row.metric))]
    for metric in filter(in_months, metrics.values()):
        query = UsageQuery(first, last, Window.MONTH, tenants, metric.key, group_by=by_tenant, limit=PAGE)
        lines += _months(metric.key, await rows_of(service, query, now))
    lines.sort()
    filters: dict[str, Any] = {"tenantId": tenantId, "from": start, "to": end}
    details = {
        "filters": {name: value for name, value in filters.items() if value is not None},
        "recordCount": len(lines),
    }
    await record_report(request, "billing.report.generated", "billing", details)
    return answer(report(lines, metrics, tenantId, (first, last), now))


def _line(row: UsageRow) -> Line:
    return Line(row.tenant_id or "", row.metric, Decimal(row.value))


def _months(metric: str, rows: list[UsageRow]) -> list[Line]:
    tenants = sorted({row.tenant_id or "" for row in rows})
    return [
        Line(tenant, metric, unit_months((row.start, Decimal(row.value)) for row in rows if row.tenant_id == tenant))
        for tenant in tenants
    ]
