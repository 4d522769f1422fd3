"""``/api/billing``: requirement document 4's endpoints, in its forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from meterline_api.access.guard import caller, needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import author_of
from meterline_api.billing.jobs.running import Jobs
from meterline_api.billing.pricing.rating import unit_price
from meterline_api.document4 import forms, models
from meterline_api.document4.company import Company, company_of
from meterline_api.document4.names import METRICS
from meterline_api.document4.reporting import reported
from meterline_api.document4.usage import analytics_of, month_at, summary_of
from meterline_api.documents.costs import decimal_of, exact_cost
from meterline_api.documents.instants import iso_seconds
from meterline_api.documents.period_usage import is_gauge
from meterline_api.documents.plan_costs import rounding_of
from meterline_api.documents.settling import Settling
from meterline_api.documents.shared import (
    READS,
    TRACKS,
    DocumentRoute,
    answer,
    errors,
    hours,
    iso_instant,
    json_body,
    not_implemented,
    read_form,
    service_of,
    unknown_metric,
)
from meterline_api.documents.tracking import track
from meterline_api.models import HealthAnswer
from meterline_api.numbers import number
from meterline_api.problems import Code, Problem
from meterline_api.routes import health
from meterline_api.storage.desk import measure_now
from meterline_api.storage.unit import Unit
from meterline_api.submissions import Submission
from meterline_schemas.billing.run import Job
from meterline_schemas.catalog import Book
from meterline_schemas.reading import InvalidLine

router = APIRouter(route_class=DocumentRoute, tags=["document 4"])

_READ: Final = [needs(Right.READ_USAGE)]
_ADMIN: Final = [needs(Right.ADMINISTER)]
_DAY: Final = timedelta(days=1)
Iso = Annotated[str | None, Query(max_length=50)]


@router.get(
    "/api/billing/usage/current",
    response_model=models.UsageSummaryModel,
    responses=errors(409, *READS),
    summary="A company's usage and cost of this month",
    dependencies=_READ,
)
async def get_current_month_usage(request: Request, companyId: Company = None) -> Response:
    """A UsageSummary of the company's running month: the period of its plan, where it is on one. It costs what that
    plan says, with its base fee; without a plan, by the flat prices of quotas: its own, or those for all tenants. Each
    line is rounded once. Storage counts its mean level, and costs its GB-months so far.
    """
    company, service, now = company_of(request, companyId), service_of(request), datetime.now(UTC)
    start, end = month_at(service.catalog.book, company, now)
    return answer(forms.summary(await summary_of(service, company, start, end, now, rounding_of(request))))


@router.get(
    "/api/billing/usage/range",
    response_model=models.UsageSummaryModel,
    responses=errors(409, *READS),
    summary="A company's usage and cost of a range",
    dependencies=_READ,
)
async def get_usage_in_range(
    request: Request, startDate: Iso = None, endDate: Iso = None, companyId: Company = None
) -> Response:
    """A UsageSummary of a range of ISO 8601 dates or whole hours, in UTC. An `endDate` without a time is a day that
    belongs to the range; with one it is not included. By default it is this month. Of a part of a plan's period the
    base fee, and what is included, are taken in proportion.
    """
    company, now = company_of(request, companyId), datetime.now(UTC)
    start = None if startDate is None else iso_instant(startDate, "startDate")[0]
    end = None if endDate is None else _end(endDate)
    first, last = hours(start, end, now, ("startDate", "endDate"))
    return answer(forms.summary(await summary_of(service_of(request), company, first, last, now, rounding_of(request))))


@router.get(
    "/api/billing/analytics",
    response_model=models.AnalyticsModel,
    responses=errors(409, *READS),
    summary="This month against the last one, and what it will cost",
    dependencies=_READ,
)
async def get_usage_analytics(request: Request, companyId: Company = None) -> Response:
    """`trend` is this month so far against the whole month before, in percent, for each metric; `trend.cost` is the
    projected cost against the last month's. The projection goes to the real end of the month, on at the same rate or,
    on a plan and with eight weeks of history, by weekday; the base fee is not multiplied.
    """
    company, now = company_of(request, companyId), datetime.now(UTC)
    return answer(forms.analytics(*await analytics_of(service_of(request), company, now, rounding_of(request))))


@router.post(
    "/api/billing/track/{metric}",
    response_model=models.CompanyTrackedModel,
    responses=errors(*TRACKS),
    openapi_extra=json_body(models.TRACKING_SCHEMA, example=models.TRACKING_EXAMPLE),
    summary="Track usage of a company",
    dependencies=[needs(Right.WRITE_EVENTS)],
)
async def track_company_usage(
    request: Request,
    metric: Annotated[str, Path(json_schema_extra={"enum": [*METRICS]})],
    companyId: Company = None,
) -> Response:
    """Track `order`, `invoice`, `storage`, `api_call` or `ai_job`. The body is JSON under any `Content-Type`, since
    `curl -d` names another. `metadata` becomes the event's properties; `cost` is exact, so that 0.00001 is not 0.
    """
    if metric not in METRICS:
        raise unknown_metric(metric, f"metrics of this path are {', '.join(METRICS)}")
    body = await read_form(request, forms.read_tracking)
    company, service = company_of(request, companyId), service_of(request)
    found = service.catalog.metric(metric)
    if found is None and service.catalog.partitions:
        raise unknown_metric(metric, "define it: meterline catalog apply --defaults orders")
    submission: Submission | InvalidLine = (
        body
        if isinstance(body, InvalidLine)
        else Submission(company, metric, body.quantity, None, body.timestamp, properties=body.metadata)
    )
    (tracked,) = await track(request, [submission])
    price = None if is_gauge(found) else _unit_price(service.catalog.book, company, metric, datetime.now(UTC))[0]
    return answer(
        {
            "success": True,
            "usageId": tracked.id,
            "companyId": company,
            "metric": metric,
            "quantity": tracked.number,
            "cost": None if price is None else number(exact_cost(price, Decimal(tracked.quantity))),
            "timestamp": iso_seconds(tracked.timestamp),
            "metadata": tracked.properties,
        }
    )


@router.get(
    "/api/billing/pricing",
    response_model=models.PricingModel,
    responses=errors(),
    summary="What usage costs",
    dependencies=[needs(Right.READ_CATALOG)],
)
async def get_pricing(request: Request, companyId: Company = None) -> Response:
    """The rate of each metric, as the plan of the company has it, with its descriptions. Without a plan the rates are
    those of quotas: a company's own where it has one, else the one for all.
    """
    company = companyId or caller(request).only_tenant or ""
    if company:
        refuse_unseen(request, company)
    book, now = service_of(request).catalog.book, datetime.now(UTC)
    plan = book.plan_of(company, now)
    if plan is not None:
        return answer(forms.plan_pricing(book.metrics, plan, now))
    return answer(forms.pricing(book.metrics, {key: book.quota(company, key) for key in METRICS}))


@router.post(
    "/api/billing/calculate-storage",
    response_model=models.StorageModel,
    responses=errors(409, 503),
    summary="Measure what a company stores",
    dependencies=_ADMIN,
)
async def calculate_storage(request: Request, companyId: Company = None) -> Response:
    """Measure it now and count it as a reading. `cost` is what storing so much costs for a whole month."""
    company = company_of(request, companyId)
    measured = await measure_now(request.app.state.storage, tenants=[company])
    if measured.errors:
        why = f"the storage of {company!r} was not measured: {measured.errors[0].why}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.NOT_READY, why, headers={"Retry-After": "5"})
    settling: Settling = request.app.state.settling
    await settling.wait()
    found = next((reading for reading in measured.tenants if reading.tenant_id == company), None)
    quantity, size = (Decimal(found.quantity), found.bytes) if found is not None else (Decimal(0), 0)
    in_bytes = measured.unit is Unit.BYTE
    price, currency = _unit_price(service_of(request).catalog.book, company, measured.metric, measured.at)
    return answer(
        {
            "companyId": company,
            "metric": measured.metric,
            "gb": number(decimal_of(size) if in_bytes else quantity),
            "unit": "GB" if in_bytes else str(measured.unit),
            "cost": None if price is None else number(exact_cost(price, quantity)),
            "currency": currency,
            "measuredAt": iso_seconds(measured.at),
        }
    )


@router.post(
    "/api/billing/report-to-stripe",
    response_model=models.StripeReportModel,
    responses=errors(409, 501, 503),
    summary="Report usage to Stripe",
    dependencies=_ADMIN,
)
async def report_to_stripe(request: Request) -> Response:
    """Push what is not at Stripe yet, for all companies, and wait for what comes of it: the job `push` of
    `POST /v1/billing/runs`. One company that cannot be pushed stops no other. For administrators of all companies.

    **501**: the server has no Stripe key. **503**: it goes on; `GET /v1/billing/runs` says how it ends.
    """
    jobs: Jobs = request.app.state.billing_jobs
    if Job.PUSH not in jobs.runner.jobs:
        raise not_implemented("billing at Stripe is not set up: set METERLINE_STRIPE_KEY of the server")
    refuse_unseen(request, "")
    return answer(await reported(jobs, author_of(request), datetime.now(UTC)))


@router.get(
    "/api/billing/health",
    response_model=HealthAnswer,
    responses={503: {"model": HealthAnswer, "description": "Something is wrong: it says what."}},
    summary="How everything is",
)
async def get_billing_health(request: Request) -> Response:
    """The same as `GET /health`."""
    return await health.health(request)


def _unit_price(book: Book, company: str, metric: str, at: datetime) -> tuple[Decimal | None, str | None]:
    """What a unit costs by the company's plan, else by its quota, and the currency; None where units differ."""
    plan = book.plan_of(company, at)
    charge = plan.at(at).charge(metric) if plan is not None else None
    if plan is not None and charge is not None:
        return unit_price(charge.price), plan.currency
    quota = book.quota(company, metric) if plan is None else None
    return (None, None) if quota is None else (quota.price_per_unit, quota.currency)


def _end(text: str) -> datetime:
    at, is_date = iso_instant(text, "endDate")
    try:
        return at + _DAY if is_date else at
    except OverflowError:
        return at
