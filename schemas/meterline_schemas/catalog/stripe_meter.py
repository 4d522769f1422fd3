"""Meters at Stripe: which one a metric's days are pushed to, and in what parts of a unit."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from meterline_schemas.catalog.entry import AnyCase, Entry
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.catalog.plan import Measure, PlanId

ADDS_UP: Final = frozenset({Aggregation.SUM, Aggregation.COUNT, Aggregation.TIME_WEIGHTED})
_STRIPE_ID: Final = r"^[A-Za-z0-9_]{1,255}$"


class IncludedMode(StrEnum):
    """Where an included quantity is taken off. Closed, and one for a metric.

    ``included_in_price``: all usage is pushed and the price at Stripe begins with a tier that costs nothing.
    ``overage_only``: of each day only what lies beyond the month's included quantity is pushed.
    """

    INCLUDED_IN_PRICE = "included_in_price"
    OVERAGE_ONLY = "overage_only"


class StripeMeter(Entry):
    """The meter of a metric. A day's value there is its quantity x 10^``scale``, which must be whole.

    ``prices`` are ids of prices at Stripe by plan. ``customer_key`` and ``value_key`` name the fields of a meter
    event that hold the customer and the value, as the meter was made with.
    """

    kind: ClassVar = "stripe_meter"

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    meter: Annotated[str, Field(pattern=_STRIPE_ID, description="id of the meter at Stripe")]
    event_name: Annotated[str, Field(min_length=1, max_length=100)]
    customer_key: Annotated[str, Field(min_length=1, max_length=100)] = "stripe_customer_id"
    value_key: Annotated[str, Field(min_length=1, max_length=100)] = "value"
    scale: Annotated[int, Field(ge=0, le=9, description="decimal places of a value at Stripe")] = 0
    measure: Annotated[Measure, AnyCase] = Measure.AS_METERED
    included: Annotated[IncludedMode, AnyCase] = IncludedMode.INCLUDED_IN_PRICE
    product: Annotated[str, Field(max_length=255)] = ""
    prices: Annotated[dict[PlanId, str], Field(default_factory=dict, max_length=1000)]

    @property
    def identity(self) -> str:
        return self.metric


def cannot_be_metered(metric: Metric) -> str | None:
    """Why the days of a metric are not pushed; None where they are."""
    if metric.aggregation in ADDS_UP:
        return None
    return (
        f"{metric.key!r} is a {metric.aggregation}: its days do not add up to its month, as a meter of Stripe adds "
        "them; charge it by invoice items (a tenant's `billing`: invoice_items)"
    )
