"""``/v1/plans``: what usage costs, from when."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, caller
from meterline_api.catalog_examples import PLANS
from meterline_api.catalog_models import Page
from meterline_api.entries import Entries, answer, document, editor_of, fields_of
from meterline_api.routes.parameters import Cursor, Limit
from meterline_schemas.catalog import Book, Entry, Plan


def reaches(request: Request, book: Book, plan: str) -> bool:
    """Whether the caller may read a plan: one that a tenant of theirs is, was or will be on."""
    tenants = caller(request).tenants
    return tenants is None or any(span.plan == plan for one in tenants for span in book.tenant_plan(one).spans)


def _reads(request: Request, entry: Entry) -> bool:
    return reaches(request, editor_of(request).catalog.book, entry.identity)


router = APIRouter(tags=["plans"])
ENTRIES = Entries(Plan, reads=_reads)


@router.get("/v1/plans", response_model=Page[Plan], responses=PLANS.reads, summary="List plans", dependencies=READS)
async def list_plans(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """All plans in the order of their ids; for a key of some tenants those that these are, were or will be on."""
    return ENTRIES.page(request, limit, cursor)


@router.get("/v1/plans/{id}", response_model=Plan, responses=PLANS.read, summary="Get a plan", dependencies=READS)
async def get_plan(request: Request, id: str) -> Response:
    """One plan with all of its versions."""
    return ENTRIES.one(request, id)


@router.post(
    "/v1/plans",
    status_code=201,
    response_model=Plan,
    responses=PLANS.changes,
    openapi_extra=PLANS.whole,
    summary="Define a plan",
    dependencies=CHANGES,
)
async def define_plan(request: Request) -> Response:
    """Define a plan. Its first version has no `start`. **409** `conflict`: its id is defined already."""
    return answer(document(await ENTRIES.create(request, await fields_of(request))), HTTPStatus.CREATED)


@router.patch(
    "/v1/plans/{id}",
    response_model=Plan,
    responses=PLANS.changes,
    openapi_extra=PLANS.part,
    summary="Change a plan",
    dependencies=CHANGES,
)
async def change_plan(request: Request, id: str) -> Response:
    """Change the fields that are given. A new version is added to `versions`, with a `start` to come.

    **409** `meaning_would_change`: once a tenant is or was on the plan, its currency, its period and the versions that
    have begun stay as they are.
    """
    return await ENTRIES.update(request, id, await fields_of(request))


@router.delete(
    "/v1/plans/{id}", status_code=204, responses=PLANS.deletes, summary="Delete a plan", dependencies=CHANGES
)
async def delete_plan(request: Request, id: str) -> Response:
    """Delete a plan that nobody is, was or will be on. **409** `in_use`: somebody is."""
    return await ENTRIES.delete(request, id)
