"""Amounts in the smallest unit of their currency, whatever the decimal context of the thread."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.money import Rounding, decimal_of, formatted, minor_digits, rounded, total
from meterline_schemas.currencies import MINOR_DIGITS, UnknownCurrencyError
from tests.api.billing.pricing.choices import FEW

EVEN, UP = Rounding.HALF_EVEN, Rounding.HALF_UP
AMOUNT = st.decimals(-(10**30), 10**30, places=6)


@pytest.mark.parametrize(
    ("amount", "currency", "half_even", "half_up"),
    [
        ("0.005", "EUR", "0.00", "0.01"),
        ("0.015", "EUR", "0.02", "0.02"),
        ("0.025", "USD", "0.02", "0.03"),
        ("0.0251", "USD", "0.03", "0.03"),
        ("-0.005", "EUR", "0.00", "-0.01"),
        ("-0.025", "USD", "-0.02", "-0.03"),
        ("0.5", "JPY", "0", "1"),
        ("2.5", "JPY", "2", "3"),
        ("1234.49", "JPY", "1234", "1234"),
        ("0.0005", "KWD", "0.000", "0.001"),
        ("1.0015", "KWD", "1.002", "1.002"),
        ("7", "KWD", "7.000", "7.000"),
        ("0.00005", "CLF", "0.0000", "0.0001"),
    ],
)
def test_half_goes_to_the_even_one_or_away_from_zero(amount: str, currency: str, half_even: str, half_up: str) -> None:
    assert str(rounded(Decimal(amount), currency)) == half_even
    assert str(rounded(Decimal(amount), currency, UP)) == half_up
    assert str(rounded(Fraction(amount), currency, UP)) == half_up


@FEW
@given(AMOUNT, st.sampled_from(["EUR", "JPY", "KWD"]))
def test_rounding_is_what_the_decimal_module_does_with_room_enough(amount: Decimal, currency: str) -> None:
    smallest = Decimal(1).scaleb(-minor_digits(currency))
    for rounding, theirs in ((EVEN, ROUND_HALF_EVEN), (UP, ROUND_HALF_UP)):
        assert rounded(amount, currency, rounding) == Context(prec=100, rounding=theirs).quantize(amount, smallest)


@FEW
@given(AMOUNT, st.sampled_from(Rounding))
def test_what_is_taken_back_is_the_same_amount_below_zero(amount: Decimal, rounding: Rounding) -> None:
    assert rounded(-Fraction(amount), "EUR", rounding) == rounded(amount, "EUR", rounding).copy_negate()


def test_a_narrow_context_of_the_thread_changes_nothing() -> None:
    with localcontext(Context(prec=3)):
        assert str(rounded(Decimal("123456789.125"), "EUR")) == "123456789.12"
        assert str(total([Decimal("123456789.12"), Decimal("0.01")])) == "123456789.13"
        assert str(decimal_of(Fraction(123456789, 8))) == "15432098.625"
        assert formatted(Decimal("123456789.12"), "EUR") == "123,456,789.12 EUR"


@FEW
@given(AMOUNT)
def test_a_decimal_goes_through_a_fraction_and_back(amount: Decimal) -> None:
    assert decimal_of(Fraction(amount)) == amount
    assert "E" not in str(decimal_of(Fraction(amount)))


def test_what_no_decimal_is_exactly_has_eighteen_of_them() -> None:
    assert str(decimal_of(Fraction(2, 3))) == "0.666666666666666667"
    assert str(decimal_of(Fraction(-1, 4))) == "-0.25"
    assert str(decimal_of(Fraction(1, 10**30))) == "0"


@pytest.mark.parametrize(
    ("amount", "currency", "wanted"),
    [
        ("1234.5", "USD", "1,234.50 USD"),
        ("1234.5", "JPY", "1,234 JPY"),
        ("-1.25", "KWD", "-1.250 KWD"),
        ("0", "EUR", "0.00 EUR"),
        ("12345678901234567890123456789012.34", "EUR", "12,345,678,901,234,567,890,123,456,789,012.34 EUR"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(amount: str, currency: str, wanted: str) -> None:
    assert formatted(Decimal(amount), currency) == wanted


@pytest.mark.parametrize("currency", ["ABC", "eur", "EURO", "", "XAU", "XXX", "XTS", "E\0R"])
def test_what_is_no_money_of_iso_4217_is_refused(currency: str) -> None:
    for use in (minor_digits, lambda code: rounded(Decimal(1), code), lambda code: formatted(Decimal(1), code)):
        with pytest.raises(UnknownCurrencyError, match="no currency of ISO 4217; write one in capitals, such as EUR"):
            use(currency)


def test_the_table_is_that_of_the_standard() -> None:
    """165 currencies and funds have a minor unit on 2026-01-01; five that were withdrawn before are still taken."""
    assert len(MINOR_DIGITS) == 165 + 5
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in MINOR_DIGITS)
    without = {code for code, digits in MINOR_DIGITS.items() if digits == 0}
    assert " ".join(sorted(without)) == "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    of_thousandths = {code for code, digits in MINOR_DIGITS.items() if digits == 3}
    assert of_thousandths == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert {code for code, digits in MINOR_DIGITS.items() if digits == 4} == {"CLF", "UYW"}
    assert {"EUR", "USD", "GBP", "CHF", "INR", "XCG", "BGN"} <= MINOR_DIGITS.keys()
