"""Pydantic models of the catalog as it goes over HTTP, where it is not the entry itself."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, Field

from meterline_api.opaque import opaque
from meterline_schemas.catalog import Quota, Webhook
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
