"""Plans: what usage costs, from when; and which plan a tenant is on, from when.

Nothing that was invoiced may change its price by a change made later: a plan has versions, each from an instant on, and
those that have begun stay as they are.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from meterline_schemas.catalog.entry import CURRENCY_PATTERN, ID_PATTERN, Amount, AnyCase, Entry, Label
from meterline_schemas.catalog.price import Money, Price
from meterline_schemas.event import MAX_ID
from meterline_schemas.periods import Period

_MOST: Final = 200
PlanId = Annotated[str, Field(min_length=1, max_length=64, pattern=ID_PATTERN)]
_PERIODS: Final = (Period.DAILY, Period.MONTHLY, Period.BILLING)
_YEARS: Final = range(1971, 2200)


def _whole_second(start: datetime) -> datetime:
    """In UTC. A fraction of a second would be a fraction of a fee that nobody can check."""
    if start.microsecond:
        raise ValueError("must be a whole second, such as 2026-12-01T00:00:00Z")
    if start.year not in _YEARS:
        raise ValueError(f"must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return start.astimezone(UTC)


Start = Annotated[AwareDatetime, AfterValidator(_whole_second)]


class Measure(StrEnum):
    """What of a metric is charged. Closed. ``unit_months``: a gauge's unit x hours by the hours of their month."""

    AS_METERED = "as_metered"
    UNIT_MONTHS = "unit_months"


class Charge(BaseModel):
    """What a metric costs in a period: ``included`` first, then the price, ``discount_percent``, ``minimum``, ``cap``.

    Rounded once, at the end. ``minimum`` and ``cap`` are of the amount; a minimum is charged without usage too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    name: Label = ""
    description: Label = ""
    price: Price
    measure: Annotated[Measure, AnyCase] = Measure.AS_METERED
    included: Annotated[Amount, Field(ge=0)] = Decimal(0)
    discount_percent: Annotated[Amount, Field(ge=0, le=100)] = Decimal(0)
    minimum: Money | None = None
    cap: Money | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.minimum is not None and self.cap is not None and self.minimum > self.cap:
            raise ValueError("`minimum` is above `cap`")
        return self


class PlanVersion(BaseModel):
    """What a plan costs from ``start`` on, until its next version starts; the first has no ``start``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Start | None = None
    base_fee: Money = Decimal(0)
    charges: Annotated[tuple[Charge, ...], Field(max_length=_MOST)] = ()

    @field_validator("charges")
    @classmethod
    def _differ(cls, charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
        metrics = [charge.metric for charge in charges]
        twice = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: a metric has one charge; its price may have tiers")
        return charges

    def charge(self, metric: str) -> Charge | None:
        return next((charge for charge in self.charges if charge.metric == metric), None)


class Plan(Entry):
    """A plan, in one currency. ``period`` is what an invoice is of; ``versions`` are in the order of their starts."""

    kind: ClassVar = "plan"

    id: PlanId
    name: Label = ""
    description: Label = ""
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN, description="ISO 4217")]
    period: Annotated[Period, AnyCase] = Period.MONTHLY
    versions: Annotated[tuple[PlanVersion, ...], Field(min_length=1, max_length=_MOST)]

    @field_validator("period")
    @classmethod
    def _is_invoiced(cls, period: Period) -> Period:
        if period not in _PERIODS:
            raise ValueError(f"is {period}; an invoice is of one of {', '.join(_PERIODS)}")
        return period

    @model_validator(mode="after")
    def _follow(self) -> Self:
        first, *others = [version.start for version in self.versions]
        starts = [start for start in others if start is not None]
        if first is not None or len(starts) != len(others):
            raise ValueError("the first of `versions` has no `start`, every other has one")
        if any(after <= before for before, after in pairwise(starts)):
            raise ValueError("`versions` must be in the order of their `start`, which must differ")
        return self

    @property
    def identity(self) -> str:
        return self.id

    def begun(self, now: datetime) -> tuple[PlanVersion, ...]:
        """The versions that hold, or held before: the first, and those whose start has passed."""
        return tuple(version for version in self.versions if version.start is None or version.start <= now)

    def at(self, instant: datetime) -> PlanVersion:
        """The version that holds at an instant."""
        starts = [version.start for version in self.versions[1:] if version.start is not None]
        return self.versions[bisect_right(starts, instant)]


class Span(BaseModel):
    """From ``start`` on a tenant is on ``plan``; None: on none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Start
    plan: PlanId | None


class TenantPlan(Entry):
    """Which plans a tenant was, is and will be on."""

    kind: ClassVar = "tenant_plan"

    tenant_id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    spans: Annotated[tuple[Span, ...], Field(max_length=1000)] = ()

    @field_validator("spans")
    @classmethod
    def _follow(cls, spans: tuple[Span, ...]) -> tuple[Span, ...]:
        if any(after.start <= before.start for before, after in pairwise(spans)):
            raise ValueError("must be in the order of their `start`, which must differ")
        return spans

    @property
    def identity(self) -> str:
        return self.tenant_id

    def at(self, instant: datetime) -> str | None:
        """The plan at an instant."""
        found = bisect_right([span.start for span in self.spans], instant)
        return self.spans[found - 1].plan if found else None

    def before(self, instant: datetime) -> tuple[Span, ...]:
        """The spans that say which plan it was on before an instant."""
        return tuple(span for span in self.spans if span.start < instant)

    def changed(self, start: datetime, plan: str | None) -> tuple[Span, ...]:
        """The spans with another plan from ``start`` on, in the place of whatever was to follow then."""
        kept = self.before(start)
        if (kept[-1].plan if kept else None) == plan:
            return kept
        return (*kept, Span(start=start, plan=plan))
