"""Quantities are exact: what does not fit is refused, never rounded."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.quantity import LIMIT, NANO, QuantityError, QuantityRangeError, format_nano, parse_nano

nanos = st.integers(-(LIMIT * NANO - 1), LIMIT * NANO - 1)


@given(nanos)
def test_what_is_written_is_read_back(nano: int) -> None:
    assert parse_nano(format_nano(nano)) == nano


@given(nanos)
def test_the_text_is_the_plain_decimal(nano: int) -> None:
    with localcontext(prec=60):
        assert Decimal(format_nano(nano)) == Decimal(nano) / NANO
    assert "e" not in format_nano(nano).lower()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_a_decimal_is_read_exactly_or_refused(decimal: Decimal) -> None:
    try:
        nano = parse_nano(str(decimal))
    except QuantityRangeError:
        with localcontext(prec=60):
            assert abs(decimal) >= LIMIT or decimal % Decimal("1e-9") != 0 or len(str(decimal)) > 64
    else:
        with localcontext(prec=60):
            assert Decimal(nano) / NANO == decimal


@pytest.mark.parametrize(
    "text", ["", "+1", "1,5", "NaN", "Infinity", "0x10", "1_000", " 1", "1 ", "01", ".5", "1.", "１"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_nano(text)


@pytest.mark.parametrize("text", ["1e18", "-1e18", "1000000000000000000", "0.0000000001", "1e999", "1" * 65])
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(QuantityRangeError):
        parse_nano(text)
