"""The answer of ``POST /v1/storage/measure``, and its documentation."""

from __future__ import annotations

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field

from meterline_api import examples
from meterline_api.storage.desk import Measured
from meterline_api.storage.unit import Unit


class TenantStorage(BaseModel):
    """What one tenant stores."""

    tenant_id: str
    bytes: int = Field(ge=0)
    quantity: str = Field(description="The same in the unit: exact in byte and GB; in GiB to nine decimals.")


class StorageError(BaseModel):
    """A tenant whose storage could not be measured or counted: nothing is known of it, and its last reading holds."""

    tenant_id: str
    detail: str


class StorageAnswer(BaseModel):
    """A measure of all tenants' storage."""

    at: AwareDatetime = Field(description="The instant that the readings are of.")
    metric: str
    unit: Unit
    dry_run: bool = Field(description="Nothing was counted.")
    measured: int = Field(description="Tenants with a reading.")
    failed: int = Field(description="Tenants without one, for an error.")
    bytes: int = Field(description="Of all tenants.")
    data: list[TenantStorage] = Field(
        description="In the order of their ids. One that stored something and has no place any more has 0."
    )
    errors: list[StorageError]

    @classmethod
    def of(cls, measured: Measured, *, dry_run: bool) -> StorageAnswer:
        return cls(
            at=measured.at,
            metric=measured.metric,
            unit=measured.unit,
            dry_run=dry_run,
            measured=measured.measured,
            failed=measured.failed,
            bytes=sum(one.bytes for one in measured.tenants),
            data=[
                TenantStorage(tenant_id=one.tenant_id, bytes=one.bytes, quantity=one.quantity)
                for one in measured.tenants
            ],
            errors=[StorageError(tenant_id=one.tenant_id, detail=one.why) for one in measured.errors],
        )


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Kafka holds the readings, unless it was a dry run.",
        "content": {
            "application/json": {
                "example": {
                    "at": "2026-11-21T09:30:00Z",
                    "metric": "storage",
                    "unit": "GB",
                    "dry_run": False,
                    "measured": 2,
                    "failed": 1,
                    "bytes": 45000000512,
                    "data": [
                        {"tenant_id": "acme", "bytes": 45000000512, "quantity": "45.000000512"},
                        {"tenant_id": "gone", "bytes": 0, "quantity": "0"},
                    ],
                    "errors": [
                        {"tenant_id": "globex", "detail": "/data/tenants/globex/x cannot be read: Permission denied"}
                    ],
                }
            }
        },
    },
    401: examples.UNAUTHORIZED,
    403: examples.problem(
        "The caller is no administrator.",
        403,
        "Forbidden",
        "permission_denied",
        "the role viewer does not have ADMINISTER; ask an administrator",
    ),
    409: examples.problem(
        "The server measures no storage, or the metric cannot count it.",
        409,
        "Conflict",
        "conflict",
        "the server measures no storage: set METERLINE_STORAGE_URL of the API to where tenants' data lies",
    ),
    422: examples.problem(
        "A parameter is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_request",
        "dry_run: Input should be a valid boolean",
    ),
    503: examples.problem(
        "The storage, ClickHouse or Kafka does not answer. What was sent counts once.",
        503,
        "Service Unavailable",
        "not_ready",
        "the folder /data/tenants cannot be read: No such file or directory; is it mounted?",
    ),
}
