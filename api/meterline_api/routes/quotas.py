"""``/v1/quotas``: how much of a metric is included in a period."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, refuse_unseen_filter
from meterline_api.catalog_examples import QUOTAS
from meterline_api.catalog_models import Page, QuotaAnswer
from meterline_api.entries import Entries, answer, document, fields_of
from meterline_api.opaque import plain
from meterline_api.routes.parameters import Cursor, Limit, OfMetric, OfSubject, OfTenant
from meterline_schemas.catalog import Quota

router = APIRouter(tags=["quotas"])
ENTRIES = Entries(Quota, QuotaAnswer.of)


@router.get(
    "/v1/quotas", response_model=Page[QuotaAnswer], responses=QUOTAS.reads, summary="List quotas", dependencies=READS
)
async def list_quotas(
    request: Request,
    metric: OfMetric = None,
    tenant_id: OfTenant = None,
    subject: OfSubject = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """All quotas, by metric, tenant and subject; one that is for all tenants has an empty `tenant_id`."""
    refuse_unseen_filter(request, tenant_id)
    return ENTRIES.page(
        request,
        limit,
        cursor,
        lambda quota: (
            metric in (None, quota.metric) and tenant_id in (None, quota.tenant_id) and subject in (None, quota.subject)
        ),
    )


@router.get(
    "/v1/quotas/{id}", response_model=QuotaAnswer, responses=QUOTAS.read, summary="Get a quota", dependencies=READS
)
async def get_quota(request: Request, id: str) -> Response:
    """One quota, by the `id` that every answer gives it."""
    return ENTRIES.one(request, plain(id) or id)


@router.post(
    "/v1/quotas",
    status_code=201,
    response_model=QuotaAnswer,
    responses=QUOTAS.changes,
    openapi_extra=QUOTAS.whole,
    summary="Create a quota",
    dependencies=CHANGES,
)
async def create_quota(request: Request) -> Response:
    """Create a quota: of a subject, of a tenant, or (without `tenant_id`) of every tenant that has none of its own.

    **409** `conflict`: there is one of the same metric, tenant and subject, and two would overlap.
    """
    written = await ENTRIES.create(request, await fields_of(request))
    return answer(document(QuotaAnswer.of(written)), HTTPStatus.CREATED)


@router.put(
    "/v1/quotas",
    response_model=QuotaAnswer,
    responses={**QUOTAS.changes, 201: {"model": QuotaAnswer, "description": "It was created."}},
    openapi_extra=QUOTAS.whole,
    summary="Create or replace a quota",
    dependencies=CHANGES,
)
async def put_quota(request: Request) -> Response:
    """Create the quota of the metric, tenant and subject that the body names (**201**), or replace it (**200**)."""
    return await ENTRIES.replace(request, await fields_of(request))


@router.patch(
    "/v1/quotas/{id}",
    response_model=QuotaAnswer,
    responses=QUOTAS.changes,
    openapi_extra=QUOTAS.part,
    summary="Change a quota",
    dependencies=CHANGES,
)
async def change_quota(request: Request, id: str) -> Response:
    """Change the fields that are given. Metric, tenant and subject are what it is: make another for others."""
    return await ENTRIES.update(request, plain(id) or id, await fields_of(request))


@router.delete(
    "/v1/quotas/{id}", status_code=204, responses=QUOTAS.deletes, summary="Delete a quota", dependencies=CHANGES
)
async def delete_quota(request: Request, id: str) -> Response:
    """Delete a quota; the one for all tenants, if there is one, applies from then on."""
    return await ENTRIES.delete(request, plain(id) or id)
