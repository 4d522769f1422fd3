"""``POST /v1/storage/measure``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.storage.desk import measure_now
from meterline_api.storage.models import ANSWERS, StorageAnswer

router = APIRouter(dependencies=[needs(Right.ADMINISTER)], tags=["storage"])


@router.post(
    "/v1/storage/measure",
    response_model=StorageAnswer,
    responses=ANSWERS,
    summary="Measure storage now",
)
async def measure_storage(
    request: Request,
    dry_run: Annotated[bool, Query(description="Measure, and count nothing.")] = False,
) -> StorageAnswer:
    """Measure how much each tenant stores, and count it as a reading of this moment.

    The server does so on schedule as well (`METERLINE_STORAGE_SCHEDULE`). Answered are the tenants that the caller
    reaches, and only they are counted. It may take as long as listing everything that is stored. The audit log says
    who asked.
    """
    await audit(request, "storage.measured", "storage", details={"dry_run": dry_run})
    measured = await measure_now(request.app.state.storage, tenants=tenants_of(request, None), dry=dry_run)
    return StorageAnswer.of(measured, dry_run=dry_run)
