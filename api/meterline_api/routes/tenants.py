"""``/v1/tenants``: what is known of customers besides their ids."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, refuse_unseen
from meterline_api.catalog_examples import TENANTS
from meterline_api.catalog_models import Page
from meterline_api.entries import Entries, answer, document, fields_of
from meterline_api.routes.parameters import Cursor, Limit
from meterline_schemas.catalog import Tenant

router = APIRouter(tags=["tenants"])
ENTRIES = Entries(Tenant)

_ONE = "/v1/tenants/{id:path}"  # an id may have slashes


@router.get(
    "/v1/tenants", response_model=Page[Tenant], responses=TENANTS.reads, summary="List tenants", dependencies=READS
)
async def list_tenants(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """All tenants that are listed, in the order of their ids. One that is not listed counts as well, unless such are
    refused (`METERLINE_UNKNOWN_TENANT`).
    """
    return ENTRIES.page(request, limit, cursor)


@router.get(_ONE, response_model=Tenant, responses=TENANTS.read, summary="Get a tenant", dependencies=READS)
async def get_tenant(request: Request, id: str) -> Response:
    """One tenant. **404**: it is not listed; its usage counts, in UTC and from the first of each month,
    unless such tenants are refused.
    """
    refuse_unseen(request, id)
    return ENTRIES.one(request, id)


@router.post(
    "/v1/tenants",
    status_code=201,
    response_model=Tenant,
    responses=TENANTS.changes,
    openapi_extra=TENANTS.whole,
    summary="Create a tenant",
    dependencies=CHANGES,
)
async def create_tenant(request: Request) -> Response:
    """List a tenant. **409** `conflict`: it is listed already."""
    return answer(document(await ENTRIES.create(request, await fields_of(request))), HTTPStatus.CREATED)


@router.put(
    _ONE,
    response_model=Tenant,
    responses={**TENANTS.changes, 201: {"model": Tenant, "description": "It was created."}},
    openapi_extra=TENANTS.keyed,
    summary="Create or replace a tenant",
    dependencies=CHANGES,
)
async def put_tenant(request: Request, id: str) -> Response:
    """List the tenant (**201**), or replace what is known of it (**200**); what is not given has its default."""
    refuse_unseen(request, id)
    return await ENTRIES.replace(request, {"id": id, **await fields_of(request)}, identity=id)


@router.patch(
    _ONE,
    response_model=Tenant,
    responses=TENANTS.changes,
    openapi_extra=TENANTS.part,
    summary="Change a tenant",
    dependencies=CHANGES,
)
async def change_tenant(request: Request, id: str) -> Response:
    """Change the fields that are given."""
    refuse_unseen(request, id)
    return await ENTRIES.update(request, id, await fields_of(request))


@router.delete(_ONE, status_code=204, responses=TENANTS.deletes, summary="Delete a tenant", dependencies=CHANGES)
async def delete_tenant(request: Request, id: str) -> Response:
    """Forget what is known of a tenant. Its usage, quotas and thresholds stay."""
    refuse_unseen(request, id)
    return await ENTRIES.delete(request, id)
