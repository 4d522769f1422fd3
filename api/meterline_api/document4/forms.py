"""The document's UsageSummary, analytics and pricing, and what it sends. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from meterline_api.billing.pricing.rating import unit_price
from meterline_api.document4.names import METRICS
from meterline_api.documents.costs import Cost, change, total
from meterline_api.documents.instants import iso_seconds
from meterline_api.numbers import number
from meterline_schemas.catalog import Metric, Plan, Quota

NO_FEE: Final = Decimal(0)
NO_PLAN: Final = "there is no base fee: it is part of a plan, and this company is on none; rates are those of quotas"
DEFAULT_CURRENCY: Final = "USD"


class Tracking(Struct, rename="camel", forbid_unknown_fields=True):
    """What is tracked of the metric that the path names. Without ``timestamp`` it is now."""

    quantity: msgspec.Raw = msgspec.Raw(b"1")
    metadata: msgspec.Raw = msgspec.Raw()
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None


read_tracking: Final[Callable[[bytes], Tracking]] = msgspec.json.Decoder(Tracking).decode


@dataclass(frozen=True)
class Line:
    """What was used of a metric. Of a gauge ``count`` is its mean level, and its cost that of its unit x months."""

    count: Decimal
    unit: str
    cost: Cost


@dataclass(frozen=True)
class Summary:
    """A company's usage of ``[start, end)``; a line for each of ``METRICS``.

    ``plan`` is what it costs by, in ``plan_currency``; None: by the prices of quotas. ``others`` are the costs of
    metrics that the plan charges beside these.
    """

    company: str
    start: datetime
    end: datetime
    lines: Mapping[str, Line]
    plan: str | None = None
    base_fee: Decimal = NO_FEE
    others: Mapping[str, Decimal] = field(default_factory=dict)
    plan_currency: str | None = None

    @property
    def usage_cost(self) -> Decimal:
        return total([*(line.cost.amount or Decimal(0) for line in self.lines.values()), *self.others.values()])

    @property
    def total_cost(self) -> Decimal:
        return total((self.usage_cost, self.base_fee))

    @property
    def currencies(self) -> set[str]:
        return {line.cost.currency for line in self.lines.values() if line.cost.currency is not None}

    @property
    def currency(self) -> str:
        return self.plan_currency or next(iter(self.currencies), DEFAULT_CURRENCY)

    @property
    def notes(self) -> list[str]:
        """What a reader of the costs must know."""
        unpriced = ", ".join(METRICS[metric].plural for metric, line in self.lines.items() if line.cost.amount is None)
        if self.plan is None:
            found = [NO_PLAN]
            how = "give a quota of the metric a price_per_unit, or put the company on a plan"
        else:
            found = [f"the plan charges other metrics too: {', '.join(sorted(self.others))}"] if self.others else []
            how = f"plan {self.plan} has no charge for it"
        return [*found, *([f"no price for {unpriced}: {how}"] if unpriced else [])]


def summary(found: Summary) -> dict[str, Any]:
    whole = number(found.total_cost)
    return {
        "companyId": found.company,
        "plan": found.plan,
        "startDate": iso_seconds(found.start),
        "endDate": iso_seconds(found.end),
        "metrics": {
            METRICS[metric].plural: {
                "count": number(line.count),
                "cost": number(line.cost.amount or Decimal(0)),
                "unit": line.unit,
            }
            for metric, line in found.lines.items()
        },
        "otherCosts": {metric: number(cost) for metric, cost in sorted(found.others.items())},
        "totalUsageCost": number(found.usage_cost),
        "baseFee": number(found.base_fee),
        "totalCost": whole,
        "grandTotal": whole,
        "currency": found.currency,
        "notes": found.notes,
    }


@dataclass(frozen=True)
class Trend:
    """This month so far against the whole last one, in percent; None where there was nothing to hold it against.

    ``cost`` is of the projected cost, which is a whole month's.
    """

    metrics: Mapping[str, Decimal | None]
    cost: Decimal | None


def trend_of(current: Summary, last: Summary, projected: Decimal) -> Trend:
    metrics = {metric: change(current.lines[metric].count, last.lines[metric].count) for metric in METRICS}
    return Trend(metrics, change(projected, last.total_cost) if current.currency == last.currency else None)


def analytics(current: Summary, last: Summary, projected: Decimal) -> dict[str, Any]:
    """``trend`` is ``trend_of``."""
    trend = trend_of(current, last, projected)
    metrics = {METRICS[metric].plural: _number(percent) for metric, percent in trend.metrics.items()}
    return {
        "currentMonth": summary(current),
        "lastMonth": summary(last),
        "trend": {**metrics, "cost": _number(trend.cost)},
        "projectedCost": number(projected),
        "currency": current.currency,
    }


def plan_pricing(metrics: Mapping[str, Metric], plan: Plan, now: datetime) -> dict[str, Any]:
    """As ``pricing``, of what the plan costs now. A price that is not the same for every unit has a null rate."""
    version = plan.at(now)
    charges = {key: version.charge(key) for key in METRICS}
    others = sorted({charge.metric for charge in version.charges} - METRICS.keys())
    return {
        "plan": plan.id,
        "baseFee": number(version.base_fee),
        "notes": [f"the plan charges other metrics too: {', '.join(others)}"] if others else [],
        "metrics": {
            named.plural: {
                "metric": key,
                "rate": None if charge is None else _number(unit_price(charge.price)),
                "currency": None if charge is None else plan.currency,
                "included": None if charge is None else number(charge.included),
                "unit": metrics[key].unit if key in metrics else "",
                "description": (charge.description if charge is not None else "") or named.description,
                "price": None if charge is None else charge.price.model_dump(mode="json"),
            }
            for (key, named), charge in zip(METRICS.items(), charges.values(), strict=True)
        },
    }


def pricing(metrics: Mapping[str, Metric], quotas: Mapping[str, Quota | None]) -> dict[str, Any]:
    """Rates, each of one unit. A metric that is not defined, or has no price, has a null rate."""
    return {
        "plan": None,
        "baseFee": number(NO_FEE),
        "notes": [NO_PLAN],
        "metrics": {
            named.plural: {
                "metric": key,
                "rate": _number(_of(quotas.get(key), "price_per_unit")),
                "currency": _of(quotas.get(key), "currency"),
                "included": _number(_of(quotas.get(key), "included")),
                "unit": metrics[key].unit if key in metrics else "",
                "description": named.description,
                "price": None,
            }
            for key, named in METRICS.items()
        },
    }


def _of(quota: Quota | None, field: str) -> Any:
    return None if quota is None else getattr(quota, field)


def _number(value: Decimal | None) -> Any:
    return None if value is None else number(value)
