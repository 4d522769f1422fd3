"""A total in another currency: by a rate of configuration alone, and with that rate on record."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.errors import NoRateError
from meterline_api.billing.pricing.exchange import ExchangeRate, exchange_rate, exchanged
from meterline_api.billing.pricing.money import Rounding, minor_digits
from meterline_schemas.billing.invoice import Exchange
from meterline_schemas.currencies import UnknownCurrencyError
from tests.api.billing.pricing.choices import FEW

OLD = ExchangeRate("USD", "EUR", Decimal("0.9"), "ECB", date(2026, 10, 1))
NEW = ExchangeRate("USD", "EUR", Decimal("0.8605"), "ECB", date(2026, 11, 20))


def test_the_latest_rate_that_holds_on_the_day_is_taken() -> None:
    for rates in ([OLD, NEW], [NEW, OLD]):
        assert exchange_rate(rates, "USD", "EUR", date(2026, 11, 19)) == OLD
        assert exchange_rate(rates, "USD", "EUR", date(2026, 11, 20)) == NEW
        assert exchange_rate(rates, "USD", "EUR", date(2027, 1, 1)) == NEW


@pytest.mark.parametrize(
    ("base", "currency", "on"), [("USD", "EUR", 30), ("EUR", "USD", 1), ("USD", "GBP", 1), ("GBP", "EUR", 1)]
)
def test_without_a_rate_none_is_made_up(base: str, currency: str, on: int) -> None:
    day = date(2026, 9 if on == 30 else 12, on)
    with pytest.raises(NoRateError, match=f"no rate from {base} to {currency} is configured for {day} or before"):
        exchange_rate([OLD, NEW], base, currency, day)


def test_the_rate_is_recorded_beside_the_amount() -> None:
    wanted = Exchange("EUR", Decimal("0.8605"), "ECB", "2026-11-20", Decimal("411.75"))
    assert exchanged(Decimal("478.50"), NEW) == wanted
    assert str(exchanged(Decimal("0.5"), NEW._replace(rate=Decimal("0.01"))).total) == "0.00"
    assert str(exchanged(Decimal("0.5"), NEW._replace(rate=Decimal("0.01")), Rounding.HALF_UP).total) == "0.01"
    assert str(exchanged(Decimal("478.50"), NEW._replace(currency="JPY", rate=Decimal("150.001"))).total) == "71775"


@FEW
@given(
    st.decimals(-(10**12), 10**12, places=2),
    st.decimals(0, 10**6, places=9),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    st.sampled_from(Rounding),
)
def test_the_total_is_rounded_once(total: Decimal, rate: Decimal, currency: str, rounding: Rounding) -> None:
    found = exchanged(total, NEW._replace(currency=currency, rate=rate), rounding)
    assert abs(Fraction(found.total) - Fraction(total) * Fraction(rate)) <= Fraction(
        1, 2 * 10 ** minor_digits(currency)
    )
    assert found.total.as_tuple().exponent == -minor_digits(currency)


def test_a_rate_to_no_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrencyError):
        exchanged(Decimal(1), NEW._replace(currency="ABC"))
