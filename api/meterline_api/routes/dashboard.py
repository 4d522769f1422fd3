"""``/api/billing/dashboard``: requirement document 4's dashboard as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from meterline_api.access.guard import caller, needs
from meterline_api.access.principal import Right
from meterline_api.document4.company import Company, company_of
from meterline_api.document4.dashboard.board import Link, Names, board_of
from meterline_api.document4.dashboard.html import as_html, content_security_policy
from meterline_api.document4.dashboard.links import links_of
from meterline_api.document4.dashboard.week import week_of
from meterline_api.document4.forms import Summary
from meterline_api.document4.usage import analytics_of
from meterline_api.documents.plan_costs import kept_invoice, rounding_of
from meterline_api.documents.shared import READS, DocumentRoute, errors, service_of

router = APIRouter(route_class=DocumentRoute, tags=["document 4"])

_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Links = Annotated[bool, Query(description="false: without links, for a page that is kept as a file.")]


@router.get(
    "/api/billing/dashboard",
    response_class=HTMLResponse,
    responses=errors(409, *READS),
    summary="Usage and billing of a company as a page",
    dependencies=[needs(Right.READ_USAGE)],
)
async def get_usage_dashboard(request: Request, companyId: Company = None, links: Links = True) -> Response:
    """The numbers of `/api/billing/analytics`, and what was used on each of the last seven days, as one page of HTML
    without script: month, projected cost, five cards with trends, charts, and what the cost consists of. Its links
    need the same `Authorization` header.
    """
    company, service, now = company_of(request, companyId), service_of(request), datetime.now(UTC)
    current, last, projected = await analytics_of(service, company, now, rounding_of(request))
    week, book = await week_of(service, company, now), service.catalog.book
    tenant = book.tenant(company)
    names = Names(
        tenant.name,
        {key: book.metrics[key].name for key in current.others if key in book.metrics},
        tenant.time_zone,
        await _links(request, current, last) if links else (),
    )
    page = as_html(board_of(current, last, projected, week, now, names))
    return HTMLResponse(page, headers={**_HEADERS, "Content-Security-Policy": content_security_policy()})


async def _links(request: Request, current: Summary, last: Summary) -> tuple[Link, ...]:
    """What the caller may open."""
    if not caller(request).may(Right.MANAGE_FINANCE):
        return links_of(current, None)
    return links_of(current, await kept_invoice(request, current.company, last.start, last.end))
