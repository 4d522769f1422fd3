"""Who asks, for the audit log, and writing into it what is no change of the catalog: reports, exports and the like.

A route says ``await audit(request, "export.generated", "usage", details={…})`` before it gives the report out: one
that cannot be written down is not given out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from meterline_api.access.guard import caller
from meterline_api.audit.recorder import Recorder
from meterline_api.problems import Code, Problem
from meterline_schemas.audit.entry import AuditEntry, Author, Draft
from meterline_schemas.errors import UnavailableError

_WITHIN: Final = 10.0  # seconds that a report waits for its entry
_MAX_REQUEST_ID: Final = 128


def author_of(request: Request) -> Author:
    """The caller, their address, and what they call the request by (``X-Request-Id``)."""
    host = request.client.host if request.client is not None else ""
    given = request.headers.get("x-request-id", "")[:_MAX_REQUEST_ID]
    return Author(caller(request).actor, host, given if given.isascii() and given.isprintable() else "")


async def audit(
    request: Request,
    action: str,
    resource_type: str,
    resource_id: str = "",
    tenant_id: str = "",
    details: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Write an entry; on return it is committed.

    Raises:
        Problem: 503, it could not be written, or nobody knows whether it was.
    """
    draft = Draft(
        author=author_of(request),
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        tenant_id=tenant_id,
        details=details,
    )
    recorder: Recorder = request.app.state.recorder
    try:
        return await asyncio.wait_for(asyncio.wrap_future(recorder.record(draft)), _WITHIN)
    except (UnavailableError, TimeoutError) as error:
        why = str(error) or "Kafka does not answer"
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.KAFKA_UNAVAILABLE,
            f"what is asked for must be written into the audit log, which cannot be done now: {why}",
            headers={"Retry-After": "5"},
        ) from None
