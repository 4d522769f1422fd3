"""The set-up of Stripe as it goes over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from meterline_api.billing.jobs.examples import BEGIN
from meterline_api.examples import UNAUTHORIZED, json_body, problem
from meterline_schemas.catalog import IncludedMode, Measure
from meterline_schemas.catalog.plan import PlanId
from meterline_schemas.event import MAX_ID


class MeterWish(BaseModel):
    """How a metric's meter is to be; what is not said is as it is, or as the metric and its charges want it."""

    model_config = ConfigDict(extra="forbid")

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    event_name: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    scale: Annotated[int | None, Field(ge=0, le=9, description="decimal places of a value at Stripe")] = None
    measure: Measure | None = None
    included: IncludedMode | None = None


class SetupRequest(BaseModel):
    """What is to be set up, besides all that Stripe bills already."""

    model_config = ConfigDict(extra="forbid")

    tenants: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_ID)]],
        Field(default_factory=list, max_length=10_000, description="Tenants that get a customer."),
    ]
    plans: Annotated[
        list[PlanId], Field(default_factory=list, max_length=1000, description="And those that are on these plans now.")
    ]
    billing: Annotated[
        Literal["meter", "invoice_items"] | None, Field(description="Have these tenants charged by Stripe this way.")
    ] = None
    metered_since: Annotated[
        date | None,
        Field(
            description="The UTC day from which on Stripe charges those that change to `meter`; by default tomorrow."
        ),
    ] = None
    metrics: Annotated[list[MeterWish], Field(default_factory=list, max_length=1000)]
    dry_run: Annotated[bool, Field(description="Say what would be made, and make nothing.")] = False


class MeterShown(BaseModel):
    """A metric, and what Stripe has for it. ``prices`` are by plan."""

    metric: str
    meter: str
    event_name: str
    scale: int
    measure: Measure
    included: IncludedMode
    prices: dict[str, str]


class TenantShown(BaseModel):
    """A tenant, and what Stripe has for it; a subscription only where Stripe's meters charge it."""

    tenant_id: str
    customer: str
    billing: str
    metered_since: date | None
    subscription: str | None


class SetupAnswer(BaseModel):
    """What Stripe has now or, of a dry run, would have; ids of what would be made begin with ``new_``."""

    dry_run: bool
    made: Annotated[dict[str, int], Field(description="How many objects of each kind were made, or would be.")]
    metrics: list[MeterShown]
    tenants: list[TenantShown]
    problems: Annotated[list[str], Field(description="What could not be set up, each in a sentence; the rest is.")]


_BODY: Final = {
    "tenants": ["acme"],
    "billing": "meter",
    "metered_since": "2026-12-01",
    "metrics": [{"metric": "storage", "scale": 6}],
    "dry_run": False,
}
_SHOWN: Final = {
    "dry_run": False,
    "made": {"billing.meters": 1, "products": 2, "prices": 2, "customers": 1, "subscriptions": 1},
    "metrics": [
        {
            "metric": "order",
            "meter": "mtr_1",
            "event_name": "order",
            "scale": 0,
            "measure": "as_metered",
            "included": "included_in_price",
            "prices": {"order-management": "price_1"},
        }
    ],
    "tenants": [
        {
            "tenant_id": "acme",
            "customer": "cus_1",
            "billing": "meter",
            "metered_since": "2026-12-01",
            "subscription": "sub_1",
        }
    ],
    "problems": ["tenant 'beta' is on no plan now: put it on one, and repeat the set-up"],
}
REQUEST: Final = json_body(SetupRequest, _BODY)
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "What is set up, and what could not be.",
        "content": {"application/json": {"example": _SHOWN}},
    },
    401: UNAUTHORIZED,
    409: problem(
        "The server has no key of Stripe, Stripe refuses it, or it is being set up just now.",
        409,
        "Conflict",
        "conflict",
        "METERLINE_STRIPE_KEY is not set: nothing is pushed to Stripe without it",
    ),
    422: problem("The body is wrong.", 422, "Unprocessable Entity", "invalid_request", "tenants.0: is empty"),
    503: problem(
        "Stripe or Kafka does not answer.", 503, "Service Unavailable", "stripe_unavailable", "Stripe did not answer"
    ),
    **{status: BEGIN[status] for status in (400, 413, 415)},
}
