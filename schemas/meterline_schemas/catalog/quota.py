"""Quotas: how much of a metric is included in a period, and what lies beyond it costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from meterline_schemas.catalog.entry import CURRENCY_PATTERN, Amount, AnyCase, Entry, TenantId, TimeZone
from meterline_schemas.periods import Period


class Quota(Entry):
    """One quota for each metric and scope: a tenant, a subject of it, or all tenants that have none of their own.

    ``period`` is by default that of the metric, ``time_zone`` that of the tenant. ``price_per_unit`` is in units of
    ``currency`` (not cents).
    """

    kind: ClassVar = "quota"

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    tenant_id: TenantId = ""
    subject: TenantId = ""
    included: Amount
    price_per_unit: Amount | None = None
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN, description="ISO 4217")] | None = None
    period: Annotated[Period, AnyCase] | None = None
    time_zone: TimeZone | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.included < 0:
            raise ValueError("`included` must not be negative")
        if (self.price_per_unit is None) != (self.currency is None):
            raise ValueError("`price_per_unit` and `currency` go together: give both or none")
        if self.price_per_unit is not None and self.price_per_unit < 0:
            raise ValueError("`price_per_unit` must not be negative")
        if self.subject and not self.tenant_id:
            raise ValueError("a quota of a subject needs `tenant_id`: the tenant that the subject belongs to")
        return self

    @property
    def scope(self) -> tuple[str, str, str]:
        return self.tenant_id, self.metric, self.subject

    @property
    def identity(self) -> str:
        return self.identity_of(*self.scope)

    @staticmethod
    def identity_of(tenant_id: str, metric: str, subject: str) -> str:
        """A scope as one text. Parts are escaped, so that no two scopes have the same."""
        return "/".join(part.replace("~", "~0").replace("/", "~1") for part in (metric, tenant_id, subject))

    def overage(self, used: Decimal) -> Decimal:
        """How much of ``used`` is not included."""
        return max(used - self.included, Decimal(0))
