"""Tenants: what is known of a customer besides its id. One that is not listed is counted as well."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

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


class Tenant(Entry):
    """``billing_anchor`` is the day of the month that a billing period begins on.

    ``excluded`` says why nothing is ever invoiced, such as "test tenant"; empty: it is. ``stripe_customer`` is the id
    of the customer at Stripe that this tenant is, and no other.
    """

    kind: ClassVar = "tenant"

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    name: Label = ""
    time_zone: TimeZone = "UTC"
    billing_anchor: Annotated[int, Field(ge=1, le=31)] = 1
    billing: Annotated[Billing, AnyCase] = Billing.INVOICE
    stripe_customer: Annotated[str, Field(max_length=255, pattern=STRIPE_CUSTOMER_PATTERN)] = ""
    excluded: Label = ""

    @model_validator(mode="after")
    def _has_a_customer(self) -> Self:
        if self.billing.by_stripe and not self.stripe_customer:
            raise ValueError(f"`billing` is {self.billing}: give `stripe_customer` too, the id of the customer (cus_…)")
        return self

    @property
    def identity(self) -> str:
        return self.id
