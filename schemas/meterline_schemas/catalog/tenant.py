"""Tenants: what is known of a customer besides its id. One that is not listed counts too, unless such are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meterline_schemas.catalog.entry import STRIPE_CUSTOMER_PATTERN, AnyCase, Entry, Label, TimeZone
from meterline_schemas.event import MAX_ID


class Billing(StrEnum):
    """How a tenant is charged what an invoice says. Closed, and one for a tenant: nothing is charged twice.

    ``none``: it is priced and never invoiced. ``invoice``: by our invoices alone. At Stripe, ``meter``: by meters that
    get the totals of each day; ``invoice_items``: by items that are added when a period is closed.
    """

    NONE = "none"
    INVOICE = "invoice"
    METER = "meter"
    INVOICE_ITEMS = "invoice_items"

    @property
    def by_stripe(self) -> bool:
        return self in (Billing.METER, Billing.INVOICE_ITEMS)


class Metering(BaseModel):
    """UTC days ``[start, end)`` that are, or were, charged by Stripe's meters; None: without a beginning, or an end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: date | None = None
    end: date | None = None

    def __contains__(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day < self.end)


class Tenant(Entry):
    """``billing_anchor`` is the day of the month that a billing period begins on.

    ``excluded`` says why nothing is ever invoiced, such as "test tenant"; empty: it is. ``stripe_customer`` is the id
    of the customer at Stripe that this tenant is, and no other.

    With ``billing`` meter Stripe charges the UTC days from ``metered_since`` on, by default from that on which it was
    switched to it, and invoices all that was before. ``metered_before`` are such days of earlier: it is kept, whatever
    is written.
    """

    kind: ClassVar = "tenant"

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    name: Label = ""
    time_zone: TimeZone = "UTC"
    billing_anchor: Annotated[int, Field(ge=1, le=31)] = 1
    billing: Annotated[Billing, AnyCase] = Billing.INVOICE
    stripe_customer: Annotated[str, Field(max_length=255, pattern=STRIPE_CUSTOMER_PATTERN)] = ""
    excluded: Label = ""
    metered_since: date | None = None
    metered_before: Annotated[tuple[Metering, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _has_a_customer(self) -> Self:
        if self.billing.by_stripe and not self.stripe_customer:
            raise ValueError(f"`billing` is {self.billing}: give `stripe_customer` too, the id of the customer (cus_…)")
        return self

    @property
    def identity(self) -> str:
        return self.id

    @property
    def metering(self) -> tuple[Metering, ...]:
        """What Stripe's meters charge, in order; invoices charge the rest."""
        if self.billing is not Billing.METER:
            return self.metered_before
        return (*self.metered_before, Metering(start=self.metered_since))

    def is_metered(self, day: date) -> bool:
        """Whether Stripe's meters charge a UTC day."""
        return any(day in each for each in self.metering)

    def following(self, before: Entry | None, now: datetime) -> Self:
        """With the days that were metered before, and from when on they are now."""
        was = before if isinstance(before, Tenant) else None
        today = now.astimezone(UTC).date()
        earlier = self.metered_before if was is None else was.metered_before
        since = self.metered_since if self.billing is Billing.METER else None
        if was is not None and was.billing is Billing.METER:
            if self.billing is Billing.METER:
                since = since or was.metered_since
            elif was.metered_since is None or was.metered_since < today:
                earlier = (*earlier, Metering(start=was.metered_since, end=today))
        elif self.billing is Billing.METER:
            since = since or today
        return self.model_copy(update={"metered_since": since, "metered_before": earlier})
