"""``/v1/metrics``: what is counted."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, refuse_unseen_filter
from meterline_api.catalog_examples import METRICS
from meterline_api.catalog_models import Page
from meterline_api.entries import Entries, answer, document, fields_of
from meterline_api.metric_usage import has_usage
from meterline_api.routes.parameters import Cursor, Limit, OfTenant
from meterline_schemas.catalog import Metric

router = APIRouter(tags=["metrics"])
ENTRIES = Entries(Metric)


@router.get(
    "/v1/metrics", response_model=Page[Metric], responses=METRICS.reads, summary="List metrics", dependencies=READS
)
async def list_metrics(
    request: Request,
    tenant_id: OfTenant = None,
    retired: bool | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """All metrics in the order of their keys; with `retired=false` only those that are offered."""
    refuse_unseen_filter(request, tenant_id)
    return ENTRIES.page(
        request,
        limit,
        cursor,
        lambda metric: tenant_id in (None, metric.tenant_id) and retired in (None, metric.retired),
    )


@router.get(
    "/v1/metrics/{key}", response_model=Metric, responses=METRICS.read, summary="Get a metric", dependencies=READS
)
async def get_metric(request: Request, key: str) -> Response:
    """One metric. **404**: there is none, or it was deleted."""
    return ENTRIES.one(request, key)


@router.post(
    "/v1/metrics",
    status_code=201,
    response_model=Metric,
    responses=METRICS.changes,
    openapi_extra=METRICS.whole,
    summary="Define a metric",
    dependencies=CHANGES,
)
async def define_metric(request: Request) -> Response:
    """Define a metric. **409** `conflict`: its key is defined already."""
    return answer(document(await ENTRIES.create(request, await fields_of(request))), HTTPStatus.CREATED)


@router.put(
    "/v1/metrics/{key}",
    response_model=Metric,
    responses={**METRICS.changes, 201: {"model": Metric, "description": "It was created."}},
    openapi_extra=METRICS.keyed,
    summary="Define or replace a metric",
    dependencies=CHANGES,
)
async def put_metric(request: Request, key: str) -> Response:
    """Define the metric (**201**) or replace its definition (**200**); what is not given has its default.

    **409** `meaning_would_change`: aggregation, unit, what is unique and whose it is cannot change.
    """
    return await ENTRIES.replace(request, {"key": key, **await fields_of(request)}, identity=key)


@router.patch(
    "/v1/metrics/{key}",
    response_model=Metric,
    responses=METRICS.changes,
    openapi_extra=METRICS.part,
    summary="Change a metric",
    dependencies=CHANGES,
)
async def change_metric(request: Request, key: str) -> Response:
    """Change the fields that are given; `{"retired": true}` archives it: it is no longer offered and still counts.

    **409** `meaning_would_change`: aggregation, unit, what is unique and whose it is cannot change, because numbers
    that were reported would mean something else. Define a new metric, and retire this one.
    """
    return await ENTRIES.update(request, key, await fields_of(request))


@router.delete(
    "/v1/metrics/{key}", status_code=204, responses=METRICS.deletes, summary="Delete a metric", dependencies=CHANGES
)
async def delete_metric(request: Request, key: str) -> Response:
    """Delete a metric that was never used. **409** `metric_has_usage`: archive it instead; `in_use`: a quota or
    threshold is of it. **503**: whether it has usage cannot be told, and nothing was changed."""
    ENTRIES.get(request, key)
    used = await has_usage(request.app.state.service, key)
    return await ENTRIES.delete(request, key, has_usage=used)
