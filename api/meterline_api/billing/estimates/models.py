"""Estimates and simulations as they go over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_schemas.event import MAX_ID

Lines = Annotated[
    list[dict[str, Any]],
    Field(description="As those of an invoice, with `exact_amount`: the amount before it is rounded."),
]
_EXACT = "Sum of the lines before each is rounded."


class Amounts(BaseModel):
    """What a period comes to; amounts are decimals of the currency."""

    total: str = Field(description="Sum of the lines, each rounded once.")
    exact_total: str = Field(description=_EXACT)
    lines: Lines


class ProjectedAmounts(Amounts):
    """What it will come to by its end, never below what it is now. The base fee is not multiplied."""

    seasonal: list[str] = Field(
        description="Metrics with eight weeks of history: they go on by weekday, the others at the same rate."
    )


class PreviousPeriod(BaseModel):
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    plan: str
    currency: str
    total: str


class Trend(BaseModel):
    cost: str | None = Field(
        description="The projected total against that of the previous period, in percent; null where there was none."
    )


class UnpricedUsage(BaseModel):
    """What was used of a metric that the plan does not charge."""

    metric: str
    quantity: str


class EstimateAnswer(BaseModel):
    """A tenant's open period."""

    tenant_id: str
    plan: str = Field(description="The one that it is on now.")
    currency: str
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to", description="Not included.")
    at: AwareDatetime
    current: Amounts
    projected: ProjectedAmounts
    previous: PreviousPeriod | None
    trend: Trend
    unpriced: list[UnpricedUsage]


class SimulationRequest(BaseModel):
    """The same usage under another plan."""

    model_config = ConfigDict(extra="forbid")

    plan: str | dict[str, Any] = Field(description="Id of a plan, or a whole plan that need not be in the catalog.")
    tenant_id: Annotated[str, Field(min_length=1, max_length=MAX_ID)] | None = Field(
        None, description="Only this tenant, with the lines of both sides; by default everybody who is on a plan."
    )
    on_plan: str | None = Field(None, max_length=64, description="Only those who are on this plan.")
    at: AwareDatetime | None = Field(
        None, description="An instant of the period that is compared, open or past; by default now."
    )
    limit: Annotated[int, Field(ge=1, le=1000, description="Tenants in one answer.")] = 100
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="`next_cursor` of the answer before, for the tenants after its."
    )


class SimulatedSide(BaseModel):
    plans: list[str] = Field(description="Those that the tenant is on in that time.")
    currency: str
    total: str
    lines: Lines | None = Field(None, description="Where one tenant is asked for.")


class SimulatedTenant(BaseModel):
    """What a tenant pays in `[from, to)`, and what it would."""

    tenant_id: str
    start: AwareDatetime | None = Field(alias="from")
    end: AwareDatetime | None = Field(alias="to")
    current: SimulatedSide | None = Field(description="null: it is on no plan.")
    simulated: SimulatedSide | None = Field(description="null: it cannot be priced; `problem` says why.")
    difference: str | None = Field(description="How much more it would pay; null in another currency.")
    problem: str


class SimulatedTotal(BaseModel):
    currency: str
    current: str
    simulated: str


class SimulationAnswer(BaseModel):
    """`totals` and counts are of the tenants in this answer: add up those of all pages."""

    plan: str
    at: AwareDatetime
    data: list[SimulatedTenant]
    totals: list[SimulatedTotal] = Field(description="By currency, in its order.")
    pay_more: int
    pay_less: int
    pay_the_same: int
    not_comparable: int = Field(description="In another currency, or with a problem.")
    next_cursor: str | None = None
