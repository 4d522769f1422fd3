"""What Meterline tells others: records of ``meterline.notifications``, and the bodies of webhooks.

``id`` is derived from what happened, so that a repeat of the same has the same id, whoever writes it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

Decimal = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="A plain decimal, exact.")]

_encode: Final = msgspec.json.Encoder().encode


class Type(StrEnum):
    """What happened. Closed."""

    METRIC_DEFINED = "metric.defined"
    METRIC_UPDATED = "metric.updated"
    METRIC_DELETED = "metric.deleted"
    USAGE_AGGREGATED = "usage.aggregated"
    THRESHOLD_APPROACHING = "threshold.approaching"
    THRESHOLD_EXCEEDED = "threshold.exceeded"
    THRESHOLD_RESOLVED = "threshold.resolved"
    BILLING_THRESHOLD_EXCEEDED = "billing.threshold_exceeded"
    RUN_PROBLEMS = "billing.run_problems"
    PAYMENT_FAILED = "billing.payment_failed"
    USAGE_REFUSED = "billing.usage_refused"


class MetricChanged(Struct, kw_only=True):
    """Data of ``metric.*``: the definition as it is now, or was before it was deleted."""

    metric: Annotated[dict[str, Any], Meta(description="As GET /v1/metrics/{key} answers.")]


class ThresholdCrossed(Struct, kw_only=True, omit_defaults=True):
    """Data of ``threshold.*``. ``step`` is the percentage of ``limit`` that was reached; ``percent`` where usage is."""

    threshold_id: str
    tenant_id: str
    metric: str
    subject: Annotated[str, Meta(description="Empty for the tenant as a whole.")]
    usage: Decimal
    limit: Decimal
    percent: Annotated[Decimal, Meta(description="Usage in percent of the limit, cut to two decimals.")]
    step: Decimal
    action: Literal["alert", "block", "none"]
    period: Annotated[str, Meta(description="never, hourly, daily, monthly or billing, and the zone if not UTC.")]
    period_start: datetime
    period_end: datetime
    estimated_cost: Annotated[Decimal | None, Meta(description="Of what lies beyond the quota, if it has a price.")] = (
        None
    )
    currency: str | None = None
    reason: Annotated[
        Literal["period_ended", "period_changed", "limit_raised", "threshold_deleted"] | None,
        Meta(description="Of resolved only."),
    ] = None


class BillingThresholdExceeded(Struct, kw_only=True):
    """Data of ``billing.threshold_exceeded``: the form that requirement document 4 names, numbers as JSON numbers.

    ``thresholdId`` and ``percent`` (80 warns, 100 alerts) are ours.
    """

    companyId: str
    metric: str
    currentUsage: msgspec.Raw
    threshold: msgspec.Raw
    estimatedCost: msgspec.Raw
    thresholdId: str
    percent: msgspec.Raw


class UsageAggregated(Struct, kw_only=True):
    """Data of ``usage.aggregated``: one period was computed again from the events, and what differed."""

    period_type: str
    period_start: datetime
    period_end: datetime
    totals: Annotated[int, Meta(description="Tenants x metrics that were compared.")]
    differences: list[dict[str, Any]]


class RunProblems(Struct, kw_only=True):
    """Data of ``billing.run_problems``: a run of one of billing's jobs failed, or could not do all. Told once."""

    job: str
    due: datetime
    state: Annotated[Literal["done", "failed"], Meta(description="done: all but what the problems name was done.")]
    begun_at: datetime
    ended_at: datetime
    count: Annotated[int, Meta(description="How many problems the run kept.")]
    problems: Annotated[list[str], Meta(description="The first 20, each in a sentence.")]


class PaymentFailed(Struct, kw_only=True):
    """Data of ``billing.payment_failed``: an attempt to collect an invoice failed. Told once for each attempt."""

    provider: Annotated[str, Meta(description="Who collects it, such as stripe.")]
    reference: Annotated[str, Meta(description="What the invoice is known by there.")]
    tenant_id: Annotated[str, Meta(description="Empty where no tenant is that customer.")]
    customer: str
    invoices: Annotated[list[str], Meta(description="Numbers of our invoices that it collects; none: usage of meters.")]
    amount_due: Decimal
    currency: str
    attempt: int
    next_attempt_at: datetime | None = None


class UsageRefused(Struct, kw_only=True):
    """Data of ``billing.usage_refused``: Stripe took usage and does not count it. It names samples, not all."""

    event: Annotated[str, Meta(description="Id of Stripe's event.")]
    meter: Annotated[str, Meta(description="Id of the meter at Stripe; empty where there is none.")]
    metric: str
    count: Annotated[int, Meta(description="How many meter events are not counted.")]
    window_start: datetime
    window_end: datetime
    summary: str
    reasons: Annotated[list[dict[str, Any]], Meta(description="`code`, `count`, `message` and `identifiers` of each.")]
    pushes: Annotated[
        list[dict[str, str]],
        Meta(description="Days that are sent again by the next retry: `tenant_id`, `metric`, `day`, `identifier`."),
    ]


class Notification(Struct, kw_only=True):
    """One record of the topic, and the body of a webhook. ``data`` is one of the structs above, by ``type``."""

    id: str
    type: Type
    timestamp: datetime
    tenant_id: str
    data: msgspec.Raw

    def encode(self) -> bytes:
        return _encode(self)


def notification(
    type: Type, timestamp: datetime, tenant_id: str, data: Struct, identity: tuple[str, ...]
) -> Notification:
    """A notification whose id is that of its type and ``identity``: what makes it this one and no other."""
    digest = hashlib.blake2b(_encode([type, *identity]), digest_size=16).hexdigest()
    return Notification(
        id=f"ntf_{digest}", type=type, timestamp=timestamp, tenant_id=tenant_id, data=msgspec.Raw(_encode(data))
    )
