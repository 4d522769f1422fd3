"""The document's answers and bodies as OpenAPI shows them."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from meterline_schemas.billing.invoice import Status


class RecordedModel(BaseModel):
    id: str
    status: Literal["recorded"]
    tenant_id: str
    quantity: float
    message: str


class _Named(BaseModel):
    service: str = Field(description="Empty for a metric that is of no service.")
    usage_type: str


class InvoiceItem(_Named):
    quantity: float
    included: float = Field(description="What of the quantity is not charged.")
    rate: float | None = Field(description="Of one unit; null where it depends on the quantity.")
    amount: float = Field(description="Rounded once.")


class Unpriced(_Named):
    quantity: float


class InvoiceModel(BaseModel):
    """An invoice: as it was closed, where one was for the period; else as it comes out now, and it is not kept."""

    id: str
    tenant_id: str
    period_start: int
    period_end: int
    items: list[InvoiceItem]
    total_amount: float
    currency: str
    status: Literal["generated"]
    unpriced: list[Unpriced] = Field(description="What was used and has no price.")
    number: str | None = Field(None, description="Of the closed invoice. Only of a tenant that is on a plan.")
    state: Status | None = Field(None, description="`draft` until it is closed. Only of a tenant that is on a plan.")


class UsageOfType(BaseModel):
    quantity: float
    records: int
    unit: str
    previous_quantity: float = Field(description="Of as long a period before.")
    change_percent: float | None = Field(description="null where there was nothing before.")


class DayOfUsage(_Named):
    day: int
    quantity: float


class TenantUsageModel(BaseModel):
    """What a tenant used, by service and usage type."""

    tenant_id: str
    period_start: int
    period_end: int
    services: dict[str, dict[str, UsageOfType]]
    total_quantity: float
    total_records: int
    trend: list[DayOfUsage] = Field(description="Each day (UTC) of the period that has usage.")


REPORT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["service", "usage_type", "quantity"],
    "properties": {
        "tenant_id": {"type": "string", "description": "A key that stands for one tenant need not name it."},
        "service": {"type": "string"},
        "usage_type": {"type": "string"},
        "quantity": {"type": ["number", "string"]},
        "timestamp": {"type": "number", "description": "Unix seconds."},
        "metadata": {"type": "object"},
    },
}
REPORT_EXAMPLE: Final[dict[str, Any]] = {
    "tenant_id": "tenant-123",
    "service": "marketplace",
    "usage_type": "wpk_upload",
    "quantity": 1.0,
    "timestamp": 1640995200,
}
