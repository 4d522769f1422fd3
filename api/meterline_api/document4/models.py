"""The document's answers and bodies as OpenAPI shows them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field


class MetricCost(BaseModel):
    count: float = Field(description="Of storage the mean of what was stored.")
    cost: float
    unit: str


class MetricCosts(BaseModel):
    orders: MetricCost
    invoices: MetricCost
    storage: MetricCost
    apiCalls: MetricCost
    aiJobs: MetricCost


class UsageSummaryModel(BaseModel):
    """A UsageSummary."""

    companyId: str
    plan: str | None = Field(description="What it costs by; null: the prices of quotas.")
    startDate: str
    endDate: str = Field(description="Not included.")
    metrics: MetricCosts
    otherCosts: dict[str, float] = Field(description="Costs of other metrics that the plan charges, by their keys.")
    totalUsageCost: float
    baseFee: float = Field(description="Of the plan; of a part of its period in proportion.")
    totalCost: float
    grandTotal: float = Field(description="The same as totalCost.")
    currency: str
    notes: list[str] = Field(description="What a reader of the costs must know.")


class TrendModel(BaseModel):
    """In percent; null where there was nothing before, or the cost was in another currency."""

    orders: float | None
    invoices: float | None
    storage: float | None
    apiCalls: float | None
    aiJobs: float | None
    cost: float | None


class AnalyticsModel(BaseModel):
    currentMonth: UsageSummaryModel
    lastMonth: UsageSummaryModel
    trend: TrendModel
    projectedCost: float
    currency: str


class CompanyTrackedModel(BaseModel):
    """What was tracked."""

    success: bool
    usageId: str
    companyId: str
    metric: str
    quantity: float
    cost: float | None = Field(description="Not rounded. null without a price, and for a reading of a gauge.")
    timestamp: str
    metadata: dict[str, Any]


class PriceModel(BaseModel):
    metric: str
    rate: float | None = Field(description="Of one unit, in units of the currency; null where units differ.")
    currency: str | None
    included: float | None
    unit: str
    description: str
    price: dict[str, Any] | None = Field(description="As the plan has it; null without a plan.")


class PriceModels(BaseModel):
    orders: PriceModel
    invoices: PriceModel
    storage: PriceModel
    apiCalls: PriceModel
    aiJobs: PriceModel


class PricingModel(BaseModel):
    plan: str | None = Field(description="The plan that the company is on; null: none.")
    baseFee: float
    notes: list[str]
    metrics: PriceModels


class StorageModel(BaseModel):
    """What a company stores."""

    companyId: str
    metric: str
    gb: float
    unit: str = Field(description="GB is 10^9 bytes, GiB 2^30.")
    cost: float | None = Field(description="Of storing so much for a month; null without a price.")
    currency: str | None
    measuredAt: str


class StripeReportModel(BaseModel):
    """What became of a report to Stripe."""

    successful: int = Field(description="Days of a company's metric that Stripe took.")
    failed: int = Field(description="What it did not get: each has a sentence in `errors`.")
    errors: list[str]
    run: str = Field(description="The run of the job: GET /v1/billing/runs/{run} shows it.")


TRACKING_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "quantity": {"type": ["number", "string"], "default": 1},
        "metadata": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
TRACKING_EXAMPLE: Final[dict[str, Any]] = {"quantity": 5, "metadata": {"orderId": "o-1"}}
