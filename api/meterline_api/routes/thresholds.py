"""``/v1/thresholds``: how much usage somebody wants to know of, or does not allow."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, refuse_unseen_filter
from meterline_api.catalog_examples import THRESHOLDS
from meterline_api.catalog_models import Page
from meterline_api.entries import Entries, answer, document, fields_of
from meterline_api.routes.parameters import Cursor, Limit, OfMetric, OfSubject, OfTenant
from meterline_schemas.catalog import Threshold

router = APIRouter(tags=["thresholds"])
ENTRIES = Entries(Threshold)


@router.get(
    "/v1/thresholds",
    response_model=Page[Threshold],
    responses=THRESHOLDS.reads,
    summary="List thresholds",
    dependencies=READS,
)
async def list_thresholds(
    request: Request,
    metric: OfMetric = None,
    tenant_id: OfTenant = None,
    subject: OfSubject = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """All thresholds in the order of their ids."""
    refuse_unseen_filter(request, tenant_id)
    return ENTRIES.page(
        request,
        limit,
        cursor,
        lambda found: (
            metric in (None, found.metric) and tenant_id in (None, found.tenant_id) and subject in (None, found.subject)
        ),
    )


@router.get(
    "/v1/thresholds/{id}",
    response_model=Threshold,
    responses=THRESHOLDS.read,
    summary="Get a threshold",
    dependencies=READS,
)
async def get_threshold(request: Request, id: str) -> Response:
    """One threshold."""
    return ENTRIES.one(request, id)


@router.post(
    "/v1/thresholds",
    status_code=201,
    response_model=Threshold,
    responses=THRESHOLDS.changes,
    openapi_extra=THRESHOLDS.whole,
    summary="Create a threshold",
    dependencies=CHANGES,
)
async def create_threshold(request: Request) -> Response:
    """Create a threshold, with an `id` of your own or one that is made here.

    Its `steps` are in percent of `amount` or, without one, of the quota of the same metric, tenant and subject.
    """
    written = await ENTRIES.create(request, {"id": new_id(), **await fields_of(request)})
    return answer(document(written), HTTPStatus.CREATED)


@router.patch(
    "/v1/thresholds/{id}",
    response_model=Threshold,
    responses=THRESHOLDS.changes,
    openapi_extra=THRESHOLDS.part,
    summary="Change a threshold",
    dependencies=CHANGES,
)
async def change_threshold(request: Request, id: str) -> Response:
    """Change the fields that are given."""
    return await ENTRIES.update(request, id, await fields_of(request))


@router.delete(
    "/v1/thresholds/{id}",
    status_code=204,
    responses=THRESHOLDS.deletes,
    summary="Delete a threshold",
    dependencies=CHANGES,
)
async def delete_threshold(request: Request, id: str) -> Response:
    """Delete a threshold; what it blocked is free again."""
    return await ENTRIES.delete(request, id)


def new_id() -> str:
    return f"th_{uuid.uuid4().hex[:12]}"
