"""``GET /v1/quotas/check``."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from meterline_api.access.guard import needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.problems import Code, Problem
from meterline_api.quotas import models
from meterline_api.service import Service
from meterline_schemas.event import MAX_ID

router = APIRouter(dependencies=[needs(Right.CHECK_QUOTAS)])

_encode: Final = msgspec.json.Encoder().encode


@router.get(
    "/v1/quotas/check",
    response_model=models.QuotaStatusModel,
    responses=models.ANSWERS,
    summary="What is left of a quota",
    tags=["quotas"],
)
async def check_quota(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, max_length=MAX_ID)],
    metric: Annotated[str, Query(min_length=1, max_length=MAX_ID)],
    subject: Annotated[str, Query(max_length=MAX_ID, description="A user or project of the tenant.")] = "",
) -> Response:
    """What a tenant, or a user or project of it, has used and has left, from memory.

    Always 200 for a metric that is defined, used up or not: `has_quota` says whether less than is included was used,
    `blocked` whether events are refused. Without a quota it is `unlimited`.
    """
    refuse_unseen(request, tenant_id)
    service: Service = request.app.state.service
    trouble = service.quotas.trouble()
    if trouble:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.NOT_READY, trouble, headers={"Retry-After": "1"})
    found = service.catalog.metric(metric)
    if found is None or found.tenant_id not in ("", tenant_id):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            Code.UNKNOWN_METRIC,
            f"metric {metric!r} is not defined for tenant {tenant_id!r}; GET /v1/metrics lists those that are",
        )
    status = await service.quotas.check(tenant_id, found, subject, datetime.now(UTC))
    return Response(_encode(status), media_type="application/json")
