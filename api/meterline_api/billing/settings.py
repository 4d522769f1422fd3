"""Settings of invoices: ``METERLINE_BILLING_*``."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_api.billing.pricing.exchange import ExchangeRate
from meterline_api.billing.pricing.money import Rounding
from meterline_schemas.billing.invoice import DocumentKind
from meterline_schemas.catalog.entry import Amount, AnyCase
from meterline_schemas.currencies import minor_digits
from meterline_schemas.settings import PREFIX

_Prefix = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9_.-]*$")]


def _is_money(currency: str) -> str:
    if currency:
        minor_digits(currency)
    return currency


_Currency = Annotated[str, AfterValidator(_is_money)]


class RateOfExchange(BaseModel):
    """``rate`` units of ``currency`` for one of ``base``, from ``on`` to the date of the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    base: Annotated[_Currency, Field(min_length=3)]
    currency: Annotated[_Currency, Field(min_length=3)]
    amount: Annotated[Amount, Field(gt=0, alias="rate")]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    on: Annotated[date, Field(alias="date")]

    @property
    def rate(self) -> ExchangeRate:
        return ExchangeRate(self.base, self.currency, self.amount, self.source, self.on)


class InvoiceSettings(BaseSettings):
    """How invoices come about. ``grace``: how long after its end a period is closed; ``chunk`` tenants at once.

    ``reporting_currency``: totals in other currencies are told in this one too, by ``exchange_rates``.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX + "BILLING_", extra="ignore", frozen=True)

    grace: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=30))] = timedelta(hours=24)
    chunk: Annotated[int, Field(ge=1, le=1000, description="tenants that are closed in one transaction")] = 1000
    rounding: Annotated[Rounding, AnyCase] = Rounding.HALF_EVEN
    invoice_prefix: _Prefix = "INV-"
    credit_note_prefix: _Prefix = "CN-"
    reporting_currency: Annotated[_Currency, Field(description="ISO 4217; empty: totals are in that of the plan")] = ""
    exchange_rates: Annotated[tuple[RateOfExchange, ...], Field(max_length=10_000)] = ()

    @property
    def prefixes(self) -> dict[DocumentKind, str]:
        return {DocumentKind.INVOICE: self.invoice_prefix, DocumentKind.CREDIT_NOTE: self.credit_note_prefix}
