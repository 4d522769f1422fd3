"""Thresholds: how much usage somebody wants to know of, or does not allow."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from meterline_schemas.catalog.entry import ID_PATTERN, Amount, AnyCase, Entry, TenantId, TimeZone
from meterline_schemas.periods import Period

Step = Annotated[Amount, Field(gt=0, le=10_000)]


class Action(StrEnum):
    """What happens at a threshold. Closed. ``none`` is only written down; ``block`` alerts, and refuses at 100 %."""

    ALERT = "alert"
    BLOCK = "block"
    NONE = "none"


class Threshold(Entry):
    """Steps in percent of ``amount`` or, without one, of the quota of the same scope and metric.

    A scope is a tenant, a subject of it, or all tenants that have no threshold of their own for the metric.
    ``period`` and ``time_zone`` are by default those of the quota, or of the metric and the tenant.
    ``notify_webhooks`` names webhooks; None: all of them.
    """

    kind: ClassVar = "threshold"

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=ID_PATTERN)]
    metric: Annotated[str, Field(min_length=1, max_length=128)]
    tenant_id: TenantId = ""
    subject: TenantId = ""
    amount: Amount | None = None
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20, description="in percent")] = (
        Decimal(80),
        Decimal(100),
    )
    action: Annotated[Action, AnyCase] = Action.ALERT
    notify_emails: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    notify_webhooks: Annotated[tuple[str, ...], Field(max_length=20)] | None = None
    period: Annotated[Period, AnyCase] | None = None
    time_zone: TimeZone | None = None

    @field_validator("amount")
    @classmethod
    def _is_above_zero(cls, amount: Decimal | None) -> Decimal | None:
        if amount is not None and amount <= 0:
            raise ValueError(
                f"is {amount}; a threshold must be above 0, or every tenant would be over it from the start"
            )
        return amount

    @field_validator("steps")
    @classmethod
    def _rise(cls, steps: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        return tuple(sorted(set(steps)))

    @field_validator("notify_emails")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            local, at, host = address.rpartition("@")
            plain = address.isascii() and address.isprintable() and not set(address) & set(" ,;<>\"'()")
            if not (local and at and host and plain) or len(address) > 254:
                raise ValueError(f"{address[:100]!r} is no e-mail address; write it like ops@example.com")
        return addresses

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.subject and not self.tenant_id:
            raise ValueError("a threshold of a subject needs `tenant_id`: the tenant that the subject belongs to")
        return self

    @property
    def scope(self) -> tuple[str, str, str]:
        return self.tenant_id, self.metric, self.subject

    @property
    def identity(self) -> str:
        return self.id
