"""Settings of invoices: ``METERLINE_BILLING_*``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_api.billing.pricing.money import Rounding
from meterline_schemas.billing.invoice import DocumentKind
from meterline_schemas.catalog.entry import AnyCase
from meterline_schemas.settings import PREFIX

_Prefix = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9_.-]*$")]


class InvoiceSettings(BaseSettings):
    """How invoices come about. ``grace``: how long after its end a period is closed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "BILLING_", extra="ignore", frozen=True)

    grace: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=30))] = timedelta(hours=24)
    rounding: Annotated[Rounding, AnyCase] = Rounding.HALF_EVEN
    invoice_prefix: _Prefix = "INV-"
    credit_note_prefix: _Prefix = "CN-"

    @property
    def prefixes(self) -> dict[DocumentKind, str]:
        return {DocumentKind.INVOICE: self.invoice_prefix, DocumentKind.CREDIT_NOTE: self.credit_note_prefix}
