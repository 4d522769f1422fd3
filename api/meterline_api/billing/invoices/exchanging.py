"""The total of an invoice in the currency that finance reports in, by a rate of configuration."""

from __future__ import annotations

from datetime import UTC, timedelta

import msgspec

from meterline_api.billing.pricing.exchange import exchange_rate, exchanged
from meterline_api.billing.settings import InvoiceSettings
from meterline_schemas.billing.invoice import Exchange, Invoice

_MOMENT = timedelta(milliseconds=1)


def in_reporting_currency(invoice: Invoice, settings: InvoiceSettings) -> Invoice:
    """With its total in ``settings.reporting_currency`` too, at the rate of the last day (UTC) of its period.

    Raises:
        NoRateError: none is configured for that day or before.
    """
    currency = settings.reporting_currency
    if not currency or currency == invoice.currency:
        return invoice
    day = (invoice.end.astimezone(UTC) - _MOMENT).date()
    rate = exchange_rate([each.rate for each in settings.exchange_rates], invoice.currency, currency, day)
    return msgspec.structs.replace(invoice, exchange=exchanged(invoice.total, rate, settings.rounding))


def taken_back(exchange: Exchange | None) -> Exchange | None:
    """That of the credit note: at the same rate."""
    return None if exchange is None else msgspec.structs.replace(exchange, total=-exchange.total)
