"""The document's UsageEvent, UsageQuota and summaries of features, and what it sends. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from meterline_api.billing.pricing.bill import Bill
from meterline_api.document2.features import display_name, name
from meterline_api.documents.costs import Cost, minor_digits, total
from meterline_api.documents.instants import iso_seconds
from meterline_api.numbers import number
from meterline_schemas.catalog import FieldProblem, Metric, Quota, RefusedError
from meterline_schemas.event import Name
from meterline_schemas.periods import Period

DEFAULT_CURRENCY: Final = "EUR"
QUOTA: Final[Mapping[str, str]] = {
    "feature": "metric",
    "includedQuantity": "included",
    "pricePerUnit": "price_per_unit",
    "currency": "currency",
    "resetPeriod": "period",
}
"""Fields of a UsageQuota, and ours."""


class Usage(Struct, rename="camel", forbid_unknown_fields=True):
    """An event of one feature. Without ``timestamp`` it is now."""

    feature: Name
    quantity: msgspec.Raw = msgspec.Raw(b"1")
    metadata: msgspec.Raw = msgspec.Raw()
    user_id: Name | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None


class Tracking(Struct, rename="camel", forbid_unknown_fields=True):
    """What is tracked: one event, or ``events`` of one organisation. The document spells that both ways."""

    organization_id: Name | None = None
    organisation_id: Name | None = None
    feature: Name | None = None
    quantity: msgspec.Raw = msgspec.Raw(b"1")
    metadata: msgspec.Raw = msgspec.Raw()
    user_id: Name | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    events: list[msgspec.Raw] | None = None

    @property
    def organisation(self) -> str | None:
        """Raises RefusedError where two are named."""
        return one_organisation(self.organization_id, self.organisation_id)


read_tracking: Final[Callable[[bytes], Tracking]] = msgspec.json.Decoder(Tracking).decode
read_usage: Final[Callable[[bytes], Usage]] = msgspec.json.Decoder(Usage).decode


@dataclass(frozen=True)
class Feature:
    """What was used of a metric in a period, and what it comes to. ``projected`` is by its end.

    ``allowed`` is what may be used before it has no quota left; None: there is no end to it. ``bill`` is what the whole
    period comes to by the plan that charges it. ``reported``: all of it is at Stripe.
    """

    metric: Metric
    start: datetime
    end: datetime
    cost: Cost
    projected: Cost
    allowed: Decimal | None
    bill: Bill | None = None
    reported: bool = False


def one_organisation(*named: str | None) -> str | None:
    """The one organisation of several names.

    Raises:
        RefusedError: they are different ones.
    """
    found = {each for each in named if each is not None}
    if len(found) > 1:
        detail = f"is both {' and '.join(map(repr, sorted(found)))}; one of them is meant"
        raise RefusedError("invalid", [FieldProblem("organizationId", detail)])
    return next(iter(found), None)


def organisation(tenant_id: str) -> dict[str, str]:
    return {"organizationId": tenant_id, "organisationId": tenant_id}


def summary(feature: Feature) -> dict[str, Any]:
    """A feature of the document's usage. Without plan and quota nothing is beyond it: ``includedQuantity`` is null."""
    found = feature.cost
    return {
        "feature": name(feature.metric),
        "displayName": display_name(feature.metric),
        "unit": feature.metric.unit,
        "totalQuantity": number(found.quantity),
        "includedQuantity": _number(found.included),
        "overageQuantity": number(found.overage),
        "overageAmount": number(found.amount or Decimal(0)),
        "pricePerUnit": _cents(found.rate, found.currency),
        "currency": found.currency,
        "hasQuota": feature.allowed is None or found.quantity < feature.allowed,
        "unlimited": feature.allowed is None,
        "periodStart": iso_seconds(feature.start),
        "periodEnd": iso_seconds(feature.end),
        "reportedToStripe": feature.reported,
    }


def estimate(feature: Feature) -> dict[str, Any]:
    found = feature.projected
    return {
        "feature": name(feature.metric),
        "displayName": display_name(feature.metric),
        "currentQuantity": number(feature.cost.quantity),
        "projectedQuantity": number(found.quantity),
        "includedQuantity": _number(found.included),
        "estimatedAmount": number(found.amount or Decimal(0)),
        "currency": found.currency,
        "periodEnd": iso_seconds(feature.end),
    }


def amounts(costs: Iterable[Cost], field: str) -> dict[str, Any]:
    """The sum of amounts as ``field``. Of several currencies there is none: it is null, and each has its own."""
    by_currency: dict[str, list[Decimal]] = defaultdict(list)
    for each in costs:
        if each.amount is not None and each.currency is not None:
            by_currency[each.currency].append(each.amount)
    sums = {currency: total(found) for currency, found in sorted(by_currency.items())}
    owed = {currency: found for currency, found in sums.items() if found} or sums
    currency: str | None
    amount: Decimal | None
    if len(owed) == 1:
        currency, amount = next(iter(owed.items()))
    else:
        currency, amount = None, None if any(owed.values()) else Decimal(0)
    return {
        field: _number(amount),
        "currency": currency,
        "byCurrency": {each: number(found) for each, found in owed.items()},
    }


def quota_fields(fields: Mapping[str, Any], tenant_id: str, metric: str) -> dict[str, Any]:
    """Our quota of the document's, whose price is in the smallest unit of its currency.

    Raises:
        RefusedError: with every field that is wrong.
    """
    known = ("organizationId", "organisationId", *QUOTA)
    problems = [
        FieldProblem(each, f"is not known; fields are {', '.join(known)}") for each in sorted(fields.keys() - {*known})
    ]
    if fields.get("pricePerUnit") is None:
        problems.append(FieldProblem("pricePerUnit", "is missing: what a unit beyond the included costs, in cents"))
    currency = fields.get("currency") or DEFAULT_CURRENCY
    if not isinstance(currency, str):
        problems.append(FieldProblem("currency", "must be text, such as EUR"))
    price = _decimal(fields.get("pricePerUnit", 0), "pricePerUnit", problems)
    if problems:
        raise RefusedError("invalid", problems)
    included = fields.get("includedQuantity")
    return {
        "tenant_id": tenant_id,
        "metric": metric,
        "included": 0 if included is None else included,
        "price_per_unit": price.scaleb(-minor_digits(currency.upper())),
        "currency": currency.upper(),
        "period": fields.get("resetPeriod") or Period.MONTHLY,
    }


def usage_quota(quota: Quota, id: str, metric: Metric) -> dict[str, Any]:
    return {
        "id": id,
        **organisation(quota.tenant_id),
        "feature": name(metric),
        "includedQuantity": number(quota.included),
        "pricePerUnit": _cents(quota.price_per_unit, quota.currency),
        "currency": quota.currency,
        "resetPeriod": (quota.period or metric.reset_period).upper(),
    }


def _decimal(value: Any, field: str, problems: list[FieldProblem]) -> Decimal:
    if value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool)):
        return Decimal(value or 0)
    problems.append(FieldProblem(field, "must be a JSON number, such as 5 for 0.05"))
    return Decimal(0)


def _cents(rate: Decimal | None, currency: str | None) -> Any:
    if rate is None or currency is None:
        return None
    return number(rate.scaleb(minor_digits(currency)))


def _number(value: Decimal | None) -> Any:
    return None if value is None else number(value)
