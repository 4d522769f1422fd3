"""The document's answers and bodies as OpenAPI shows them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field


class _OfOrganisation(BaseModel):
    organizationId: str
    organisationId: str = Field(description="The same: the document spells it both ways.")


class TrackedModel(_OfOrganisation):
    """A UsageEvent as it was sent."""

    id: str
    feature: str
    quantity: float
    metadata: dict[str, Any]
    userId: str | None
    timestamp: str
    reportedToStripe: bool = Field(description="Always false: the day of an event is pushed when it is over.")


class TrackedManyModel(BaseModel):
    events: list[TrackedModel]


class FeatureUsage(BaseModel):
    """A UsageSummary: what was used of a feature in a period."""

    feature: str
    displayName: str
    unit: str
    totalQuantity: float
    includedQuantity: float | None = Field(description="null: there is no quota, and so nothing beyond it.")
    overageQuantity: float
    overageAmount: float = Field(description="In units of the currency.")
    pricePerUnit: float | None = Field(description="In the smallest unit of the currency, such as cents.")
    currency: str | None
    hasQuota: bool
    unlimited: bool
    periodStart: str
    periodEnd: str
    reportedToStripe: bool = Field(description="All that was used in the period is at Stripe, as it is now.")


class _Amounts(BaseModel):
    currency: str | None = Field(description="null where there is no amount, or several currencies.")
    byCurrency: dict[str, float]


class CurrentUsageModel(_OfOrganisation, _Amounts):
    periodStart: str = Field(description="The organisation's month; every feature has its own period.")
    periodEnd: str
    features: list[FeatureUsage]
    totalOverageAmount: float | None


class PeriodModel(_Amounts):
    periodStart: str
    periodEnd: str
    features: list[FeatureUsage]
    totalOverageAmount: float | None


class HistoryModel(_OfOrganisation):
    periods: list[PeriodModel]


class FeatureEstimate(BaseModel):
    feature: str
    displayName: str
    currentQuantity: float
    projectedQuantity: float
    includedQuantity: float | None
    estimatedAmount: float
    currency: str | None
    periodEnd: str


class EstimateModel(_OfOrganisation, _Amounts):
    estimatedAmount: float | None
    features: list[FeatureEstimate]


class UsageQuotaModel(_OfOrganisation):
    id: str
    feature: str
    includedQuantity: float
    pricePerUnit: float | None = Field(description="In the smallest unit of the currency, such as cents.")
    currency: str | None
    resetPeriod: str


_USAGE: Final[dict[str, Any]] = {
    "feature": {"type": "string", "description": "In any case: `OCR_SCAN` is the metric `ocr_scan`."},
    "quantity": {"type": ["number", "string"], "default": 1},
    "metadata": {"type": "object"},
    "userId": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
}
TRACKING_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "organizationId": {"type": "string"},
        "organisationId": {"type": "string"},
        **_USAGE,
        "events": {"type": "array", "items": {"type": "object", "required": ["feature"], "properties": _USAGE}},
    },
}
TRACKING_EXAMPLES: Final[dict[str, Any]] = {
    "one": {
        "organizationId": "org_123",
        "feature": "OCR_SCAN",
        "quantity": 1,
        "metadata": {"fileSize": 1024000, "documentType": "receipt"},
    },
    "bulk": {
        "organizationId": "org_123",
        "events": [{"feature": "EMAIL_SENT", "quantity": 5}, {"feature": "PDF_EXPORT", "quantity": 2}],
    },
}
QUOTA_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["feature", "pricePerUnit"],
    "properties": {
        "feature": {"type": "string"},
        "includedQuantity": {"type": "number", "default": 0},
        "pricePerUnit": {"type": "number", "description": "In the smallest unit of the currency, such as cents."},
        "currency": {"type": "string", "default": "EUR"},
        "resetPeriod": {"type": "string", "default": "MONTHLY"},
    },
}
QUOTA_EXAMPLE: Final[dict[str, Any]] = {
    "feature": "OCR_SCAN", "includedQuantity": 100, "pricePerUnit": 5, "currency": "EUR",
}  # fmt: skip
