"""Tenants: what is known of a customer besides its id. One that is not listed is counted as well."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from meterline_schemas.catalog.entry import Entry, Label, TimeZone
from meterline_schemas.event import MAX_ID


class Tenant(Entry):
    """``billing_anchor`` is the day of the month that a billing period begins on."""

    kind: ClassVar = "tenant"

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    name: Label = ""
    time_zone: TimeZone = "UTC"
    billing_anchor: Annotated[int, Field(ge=1, le=31)] = 1

    @property
    def identity(self) -> str:
        return self.id
