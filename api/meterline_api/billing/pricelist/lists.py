"""The price list of a plan: its base fee and what each metric costs now, with the descriptions of the plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from meterline_api.billing.rendering.words import exact, grouped, money, said
from meterline_schemas.catalog import Charge, Metric, Plan
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Tier, TieredFlat, Volume
from meterline_schemas.periods import Period

_PERIODS: dict[Period, str] = {Period.DAILY: "day", Period.MONTHLY: "month", Period.BILLING: "billing month"}


def price_list(plan: Plan, metrics: Mapping[str, Metric], now: datetime) -> dict[str, Any]:
    """Amounts are exact decimals; ``text`` says the same for people."""
    version = plan.at(now)
    period = _PERIODS[plan.period]
    following = next((each.start for each in plan.versions if each.start is not None and each.start > now), None)
    return {
        "id": plan.id,
        "name": said(plan.name or plan.id),
        "description": said(plan.description),
        "currency": plan.currency,
        "period": plan.period,
        "base_fee": exact(version.base_fee),
        "text": f"{money(version.base_fee, plan.currency)} per {period}",
        "until": following,
        "rates": [_rate(charge, metrics.get(charge.metric), plan.currency) for charge in version.charges],
    }


def _rate(charge: Charge, metric: Metric | None, currency: str) -> dict[str, Any]:
    service, dot, usage_type = charge.metric.partition(".")
    return {
        "metric": charge.metric,
        "service": service if dot else "",
        "usage_type": usage_type if dot else charge.metric,
        "name": said(charge.name or (metric.name if metric is not None else "") or charge.metric),
        "description": said(charge.description),
        "unit": metric.unit if metric is not None else "",
        "included": exact(charge.included),
        "price": charge.price.model_dump(mode="json"),
        "text": "; ".join(_text(charge, said(metric.unit) if metric is not None else "", currency)),
    }


def _text(charge: Charge, unit: str, currency: str) -> Iterable[str]:
    one = unit or "unit"
    match charge.price:
        case PerUnit(unit_price=price, per=per):
            yield f"{money(price, currency)} per {one if per == 1 else f'{grouped(per)} {one}'}"
        case Package(price=price, size=size):
            yield f"{money(price, currency)} per {grouped(size)} {one} begun"
        case Percentage(percent=percent):
            yield f"{grouped(percent)} %"
        case Graduated(tiers=tiers):
            yield f"each {one} by its tier: {_tiers(tiers, currency)}"
        case Volume(tiers=tiers):
            yield f"every {one} by the tier of the last: {_tiers(tiers, currency)}"
        case TieredFlat(tiers=tiers):
            yield _tiers(tiers, currency)
    if charge.included:
        yield f"{grouped(charge.included)} included"
    if charge.discount_percent:
        yield f"less {grouped(charge.discount_percent)} %"
    if charge.minimum is not None:
        yield f"at least {money(charge.minimum, currency)}"
    if charge.cap is not None:
        yield f"at most {money(charge.cap, currency)}"


def _tiers(tiers: Iterable[Tier], currency: str) -> str:
    found = []
    for tier in tiers:
        amounts = [money(tier.unit_price, currency)] if tier.unit_price or not tier.flat else []
        amounts += [f"{money(tier.flat, currency)} flat"] if tier.flat else []
        bound = "beyond" if tier.up_to is None else f"up to {grouped(tier.up_to)}"
        found.append(f"{bound} {' + '.join(amounts)}")
    return ", ".join(found)
