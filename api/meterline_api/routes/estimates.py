"""``/v1/tenants/{id}/estimate`` and ``/v1/billing/simulate``: what a period will cost, and would under another plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import caller, denied, needs, refuse_unseen, tenants_of
from meterline_api.access.principal import Right
from meterline_api.billing.estimates import models
from meterline_api.billing.estimates.estimate import estimate
from meterline_api.billing.estimates.examples import ESTIMATE, SIMULATE, SIMULATION
from meterline_api.billing.estimates.forms import estimate_body, simulation_body
from meterline_api.billing.estimates.simulation import ALWAYS, candidates, simulate
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.entries import answer, model_of, problems
from meterline_api.opaque import opaque, plain
from meterline_api.problems import Code, Problem
from meterline_api.routes.plans import reaches
from meterline_api.service import Service
from meterline_api.usage.ranges import instant_of
from meterline_schemas.catalog import Book, FieldProblem, Metric, Plan, RefusedError, read_entry
from meterline_schemas.catalog.plan_changes import check_terms
from meterline_schemas.errors import UnavailableError

router = APIRouter(tags=["billing"])

_RETRY: Final = {"Retry-After": "5"}


@router.get(
    "/v1/tenants/{tenant_id:path}/estimate",
    response_model=models.EstimateAnswer,
    responses=ESTIMATE,
    summary="What a tenant's open period costs, and will by its end",
    dependencies=[needs(Right.READ_USAGE)],
)
async def estimate_costs(request: Request, tenant_id: str) -> Response:
    """The open period so far and at its end, by the totals; nothing is kept. Of the finance role, and of a tenant's own
    viewers. **404**: the tenant is on no plan.

    Usage goes on as it did in the period; once there are eight weeks of history, as it did by weekday. The base fee is
    not multiplied, and nothing is projected below what it is.
    """
    refuse_unseen(request, tenant_id)
    principal = caller(request)
    if principal.tenants is None and not principal.may(Right.MANAGE_FINANCE):
        raise denied(f"estimates of all tenants need {Right.MANAGE_FINANCE}")
    service, invoices = _service(request), _invoices(request)
    try:
        found = await estimate(
            service.clickhouse,
            service.catalog.book,
            tenant_id,
            datetime.now(UTC).replace(microsecond=0),
            invoices.settings.rounding,
        )
    except PricingError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _away(error) from None
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            Code.NOT_FOUND,
            f"tenant {tenant_id[:100]!r} is on no plan now; PUT /v1/tenants/{{id}}/plan puts it on one",
        )
    return answer(estimate_body(found))


@router.post(
    "/v1/billing/simulate",
    response_model=models.SimulationAnswer,
    responses=SIMULATE,
    openapi_extra=SIMULATION,
    summary="Price the same usage under another plan",
    dependencies=[needs(Right.MANAGE_FINANCE)],
)
async def simulate_plan(request: Request) -> Response:
    """What tenants pay in a period and what they would under another plan, by the totals. Nothing is written.

    `plan` is the id of a plan, or a whole plan as `POST /v1/plans` takes it. Whoever is excluded or not invoiced is
    left out, unless `tenant_id` names it.
    """
    asked = await model_of(request, models.SimulationRequest)
    tenants = tenants_of(request, asked.tenant_id)
    service = _service(request)
    book = service.catalog.book
    with problems():
        plan = _plan(request, book, asked.plan)
    at = datetime.now(UTC) if asked.at is None else max(instant_of(asked.at), ALWAYS)
    after = None if asked.cursor is None else plain(asked.cursor)
    if asked.cursor is not None and after is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_CURSOR,
            "cursor is none that this server gave; start again without one",
        )
    one = asked.tenant_id
    chosen = [one] if one is not None else candidates(book, at, tenants, asked.on_plan)
    found = list(islice((id for id in chosen if after is None or id > after), asked.limit + 1))
    page = found[: asked.limit]
    try:
        compared = await simulate(_invoices(request).tables, book, plan, page, at, _invoices(request).settings.rounding)
    except UnavailableError as error:
        raise _away(error) from None
    body = simulation_body(plan.id, at, compared, lines=one is not None)
    return answer({**body, "next_cursor": opaque(page[-1])} if len(found) > len(page) else body)


def _plan(request: Request, book: Book, asked: str | Mapping[str, Any]) -> Plan:
    """Raises RefusedError, or Problem where there is no such plan that the caller reads."""
    if isinstance(asked, str):
        plan = book.plan(asked)
        if plan is None or not reaches(request, book, asked):
            raise Problem(
                HTTPStatus.NOT_FOUND,
                Code.NOT_FOUND,
                f"there is no plan {asked[:100]!r}; GET /v1/plans lists them, or send a whole plan in `plan`",
            )
        return plan
    plan = read_entry(Plan, asked)
    for n, version in enumerate(plan.versions):
        for k, charge in enumerate(version.charges):
            metric = book.find(Metric, charge.metric)
            if metric is not None and metric.tenant_id and not caller(request).sees(metric.tenant_id):
                detail = f"{charge.metric!r} is not defined; define the metric first"
                raise RefusedError("invalid", [FieldProblem(f"versions.{n}.charges.{k}.metric", detail)])
    check_terms(book, plan)
    return plan


def _away(error: UnavailableError) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers=_RETRY)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _invoices(request: Request) -> Invoices:
    found: Invoices = request.app.state.invoices
    return found
