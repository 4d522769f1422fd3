"""Pydantic models of the catalog as it goes over HTTP, where it is not the entry itself."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_api.opaque import opaque
from meterline_schemas.catalog import Quota, Span, TenantPlan, Webhook
from meterline_schemas.catalog.plan import PlanId, Start
from meterline_schemas.notification import Type

Shown = TypeVar("Shown", bound=BaseModel)


class Page(BaseModel, Generic[Shown]):
    """Entries in the order of their keys; `next_cursor` where there are more."""

    data: list[Shown]
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the entries after these.")


class QuotaAnswer(Quota):
    """A quota, and the id that paths name it by: its metric, tenant and subject, made one text."""

    id: str

    @classmethod
    def of(cls, quota: Quota) -> Self:
        return cls(id=opaque(quota.identity), **quota.model_dump())


class WebhookAnswer(BaseModel):
    """A webhook without its secret."""

    id: str
    url: str
    events: tuple[Type, ...] = Field(description="Types of notifications; empty: all.")
    tenant_id: str = Field(description="Only notifications of this tenant; empty: of all.")
    description: str
    enabled: bool
    version: int
    changed_at: AwareDatetime | None

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls(**webhook.model_dump(include=set(cls.model_fields)))


class NewWebhookAnswer(WebhookAnswer):
    """A webhook as it was made: the only answer that shows the secret."""

    secret: str = Field(description="What its calls are signed with (Standard Webhooks). It is not shown again.")


class TenantPlanWish(BaseModel):
    """The plan that a tenant is to be on from `start` on, in the place of whatever was to follow then."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanId | None = Field(description="null: on none.")
    start: Start | None = Field(None, description="A whole second; without it, now.")


class TenantPlanAnswer(BaseModel):
    """Which plans a tenant was, is and will be on."""

    tenant_id: str
    plan: str | None = Field(description="The one that it is on now; null: none.")
    spans: tuple[Span, ...] = Field(description="In order; each until the next one starts.")
    version: int = Field(description="Number of its changes; 0 where it was never put on a plan.")
    changed_at: AwareDatetime | None

    @classmethod
    def of(cls, found: TenantPlan, now: datetime) -> Self:
        version = found.version if found.changed_at is not None or found.spans else 0
        return cls(
            tenant_id=found.tenant_id,
            plan=found.at(now),
            spans=found.spans,
            version=version,
            changed_at=found.changed_at,
        )
