"""Monthly recurring revenue as it goes over HTTP, and as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from meterline_api.billing.rendering.words import amount
from meterline_api.billing.revenue.recurring import OfPlan, Recurring
from meterline_api.examples import problem


class MrrOfPlan(BaseModel):
    """What a plan brings in each month."""

    plan: str
    name: str
    period: str = Field(description="What an invoice of it is of: `daily`, `monthly` or `billing`.")
    base_fee: str = Field(description="Of such a period, a decimal.")
    monthly_fee: str = Field(description="Of a month, rounded to the currency: a daily fee x 365 / 12.")
    tenants: int = Field(description="Who is billed by it.")
    mrr: str = Field(description="`monthly_fee` of all of them, a decimal.")


class Mrr(BaseModel):
    """What all plans of a currency bring in each month."""

    currency: str
    mrr: str = Field(description="The sum of that of its plans, a decimal.")
    tenants: int = Field(description="Who pays a base fee.")
    average: str | None = Field(description="`mrr` by `tenants`, rounded; null where nobody pays a base fee.")
    without_fee: int = Field(description="Who is billed by a plan without a base fee: not in `tenants`.")
    plans: list[MrrOfPlan] = Field(description="By the plan's id; of those that somebody is billed by.")


class MrrAnswer(BaseModel):
    """By currency. ``problems`` has a sentence for each tenant whose plan is not known."""

    at: datetime
    data: list[Mrr]
    problems: list[str]


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The revenue that recurs.",
        "content": {
            "application/json": {
                "example": {
                    "at": "2026-12-01T00:00:00Z",
                    "data": [
                        {
                            "currency": "USD",
                            "mrr": "597.00",
                            "tenants": 3,
                            "average": "199.00",
                            "without_fee": 0,
                            "plans": [
                                {
                                    "plan": "order-management",
                                    "name": "Order management",
                                    "period": "monthly",
                                    "base_fee": "199.00",
                                    "monthly_fee": "199.00",
                                    "tenants": 3,
                                    "mrr": "597.00",
                                }
                            ],
                        }
                    ],
                    "problems": [],
                }
            }
        },
    },
    422: problem(
        "A parameter is not of its form.",
        422,
        "Unprocessable Entity",
        "invalid_range",
        "at must lie in the years 1971 to 2199",
    ),
    503: problem(
        "The catalog is not read yet, or Kafka, which keeps the audit log, does not answer.",
        503,
        "Service Unavailable",
        "kafka_unavailable",
        "this server has not read the catalog yet; ask again in a moment, `meterline doctor` looks",
    ),
}


def body_of(found: Recurring) -> dict[str, Any]:
    """As ``Mrr``."""
    return {
        "currency": found.currency,
        "mrr": amount(found.mrr, found.currency),
        "tenants": found.tenants,
        "average": None if found.average is None else amount(found.average, found.currency),
        "without_fee": found.without_fee,
        "plans": [_plan(each, found.currency) for each in found.plans],
    }


def _plan(each: OfPlan, currency: str) -> dict[str, Any]:
    return {
        "plan": each.plan.id,
        "name": each.plan.name,
        "period": each.plan.period,
        "base_fee": amount(each.fee, currency),
        "monthly_fee": amount(each.monthly, currency),
        "tenants": each.tenants,
        "mrr": amount(each.mrr, currency),
    }
