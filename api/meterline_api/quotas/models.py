"""The answer of ``GET /v1/quotas/check`` as it is documented; it is written by msgspec from ``QuotaStatus``."""

from __future__ import annotations

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field

from meterline_api import examples
from meterline_schemas.catalog import Action, Aggregation


class ThresholdStatusModel(BaseModel):
    """A threshold and how near usage is."""

    id: str
    subject: str = Field(description="Empty for the tenant as a whole.")
    action: Action
    used: str | None
    limit: str | None = Field(description="Its amount, or what the quota includes; null where there is no quota.")
    percent: str | None = Field(description="Used in percent of the limit, cut to two decimals.")
    reached: bool = Field(description="Whether as much as the limit was used; of 0, whether anything was.")
    resets_at: AwareDatetime | None


class QuotaStatusModel(BaseModel):
    """What was used of a quota, and what is left."""

    tenant_id: str
    metric: str
    subject: str
    aggregation: Aggregation = Field(description="What `used` is; of a `time_weighted` metric the latest reading.")
    unit: str
    has_quota: bool = Field(description="Whether less than is included was used; true where there is no quota.")
    unlimited: bool = Field(description="There is no quota.")
    blocked: bool = Field(description="Events of the metric are refused over HTTP: a threshold that blocks is reached.")
    used: str | None = Field(description="An exact decimal. null where neither a quota nor a threshold has it counted.")
    included: str | None
    remaining: str | None = Field(description="Never below 0.")
    percent: str | None = Field(
        description="Used in percent of what is included, cut to two decimals; of 0 it is 0 or 100."
    )
    overage: str = Field(description="What was used beyond what is included.")
    overage_amount: str | None = Field(description="Its price, exact, in units of the currency (not cents).")
    currency: str | None
    period: str = Field(description="never, hourly, daily, monthly or billing@<day>, and the time zone if not UTC.")
    period_start: AwareDatetime | None
    resets_at: AwareDatetime | None = Field(description="When counting begins anew; null for never.")
    thresholds: list[ThresholdStatusModel] = Field(description="The subject's, then those of the tenant as a whole.")
    provisional: bool = Field(
        description="The quota or threshold is so new that usage from before it may not be in yet."
    )


_EXAMPLE: Final = {
    "tenant_id": "acme",
    "metric": "orders",
    "subject": "",
    "aggregation": "sum",
    "unit": "order",
    "has_quota": False,
    "unlimited": False,
    "blocked": False,
    "used": "75",
    "included": "50",
    "remaining": "0",
    "percent": "150",
    "overage": "25",
    "overage_amount": "1.25",
    "currency": "EUR",
    "period": "monthly",
    "period_start": "2026-11-01T00:00:00Z",
    "resets_at": "2026-12-01T00:00:00Z",
    "thresholds": [
        {
            "id": "orders-alert",
            "subject": "",
            "action": "alert",
            "used": "75",
            "limit": "50",
            "percent": "150",
            "reached": True,
            "resets_at": "2026-12-01T00:00:00Z",
        }
    ],
    "provisional": False,
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "What is left.", "content": {"application/json": {"example": _EXAMPLE}}},
    401: examples.UNAUTHORIZED,
    404: examples.problem(
        "The metric is not defined.",
        404,
        "Not Found",
        "unknown_metric",
        "metric 'orderz' is not defined for tenant 'acme'; GET /v1/metrics lists those that are",
    ),
    503: examples.problem(
        "The process has just started, or Kafka does not answer.",
        503,
        "Service Unavailable",
        "not_ready",
        "the counters of quotas have not been read yet",
    ),
}
