"""That somebody was given a report, for the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from meterline_api.access.guard import caller
from meterline_api.audit.auditing import audit


async def record_report(request: Request, action: str, resource_type: str, details: Mapping[str, Any]) -> None:
    """Write down that the caller is given a report of ``resource_type``, before it is answered.

    Raises:
        Problem: 503, it could not be written, or nobody knows whether it was.
    """
    filters = details.get("filters", {})
    tenant_id = filters.get("tenantId") or filters.get("tenant") or caller(request).only_tenant or ""
    await audit(request, action, resource_type, tenant_id=tenant_id, details=details)
