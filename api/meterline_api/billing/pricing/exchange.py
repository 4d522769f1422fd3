"""A total in another currency, by a rate that somebody configured. Pure.

It is told beside the total, which stays what is owed. No rate is ever computed: neither the inverse of one nor one by
way of a third currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from meterline_api.billing.pricing.errors import NoRateError
from meterline_api.billing.pricing.money import Rounding, rounded
from meterline_schemas.billing.invoice import Exchange


class ExchangeRate(NamedTuple):
    """``rate`` units of ``currency`` for one of ``base``, from ``on`` to the date of the next one."""

    base: str
    currency: str
    rate: Decimal
    source: str
    on: date


def exchange_rate(rates: Iterable[ExchangeRate], base: str, currency: str, on: date) -> ExchangeRate:
    """The latest one that holds on a day.

    Raises:
        NoRateError: there is none of that day or before.
    """
    found = [each for each in rates if (each.base, each.currency) == (base, currency) and each.on <= on]
    if not found:
        raise NoRateError(base, currency, on)
    return max(found, key=lambda each: each.on)


def exchanged(total: Decimal, rate: ExchangeRate, rounding: Rounding = Rounding.HALF_EVEN) -> Exchange:
    """``total``, of the rate's ``base``, in its currency: rounded once, with the rate that it is by.

    Raises:
        UnknownCurrencyError: there is no such currency.
    """
    amount = rounded(Fraction(total) * Fraction(rate.rate), rate.currency, rounding)
    return Exchange(rate.currency, rate.rate, rate.source, rate.on.isoformat(), amount)
