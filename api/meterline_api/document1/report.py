"""The document's report: every tenant's usage by feature, and the totals that it names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, Field

from meterline_api.documents.costs import total
from meterline_api.documents.instants import iso_seconds
from meterline_api.numbers import number
from meterline_schemas.catalog import Aggregation, Metric

TOTALS: Final[Mapping[str, str]] = {
    "storage_gb_month": "totalGbStored",
    "job_execution_unit": "totalJobsExecuted",
    "transaction": "totalTransactions",
}
"""Features, and the total that each is part of."""


class Line(NamedTuple):
    tenant_id: str
    feature: str
    quantity: Decimal


class ReportLine(BaseModel):
    tenantId: str
    feature: str
    quantity: float | None
    unit: str


class ReportTotals(BaseModel):
    totalGbStored: float
    totalJobsExecuted: float
    totalTransactions: float


class ReportModel(BaseModel):
    """A usage report for an external billing system."""

    generationDate: str = Field(examples=["2026-11-21T06:12:10.233Z"])
    tenantIdFilter: str = Field(description="The tenant asked for, or `ALL`.")
    periodStart: str
    periodEnd: str
    metrics: list[ReportLine]
    totals: ReportTotals


class Failure(BaseModel):
    """An error of the document: `details` are the fields that are wrong."""

    code: str
    message: str
    details: list[dict[str, Any]]


class FailureModel(BaseModel):
    error: Failure


def in_months(metric: Metric | None) -> bool:
    """Whether it is a gauge that the document counts in GB-months, and not in GB-hours."""
    return metric is not None and metric.aggregation is Aggregation.TIME_WEIGHTED and "gb_month" in metric.key


def unit(feature: str, metric: Metric | None) -> str:
    """That of the metric's definition; where it has none, as the document makes it of the feature's name."""
    if "gb_month" in feature and (in_months(metric) or metric is None or not metric.unit):
        return "GB-Month"
    defined = metric.unit if metric is not None else ""
    if metric is not None and metric.aggregation is Aggregation.TIME_WEIGHTED:
        return f"{defined or 'Unit'}-Hour"
    return defined or "Count"


def report(
    lines: Iterable[Line],
    metrics: Mapping[str, Metric],
    tenant_id: str | None,
    period: tuple[datetime, datetime],
    now: datetime,
) -> dict[str, Any]:
    """The DTO of ``ReportModel``."""
    found = list(lines)
    return {
        "generationDate": iso_seconds(now),
        "tenantIdFilter": "ALL" if tenant_id is None else tenant_id,
        "periodStart": iso_seconds(period[0]),
        "periodEnd": iso_seconds(period[1]),
        "metrics": [
            {
                "tenantId": line.tenant_id,
                "feature": line.feature,
                "quantity": number(line.quantity),
                "unit": unit(line.feature, metrics.get(line.feature)),
            }
            for line in found
        ],
        "totals": {
            name: number(total(line.quantity for line in found if line.feature == feature))
            for feature, name in TOTALS.items()
        },
    }
