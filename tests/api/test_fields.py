"""Bodies with the fields of an entry: read exactly, or refused in words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.fields import FieldsError, read_fields
from meterline_api.opaque import opaque, plain


def test_numbers_never_pass_through_a_float() -> None:
    found = read_fields(b'{"a": 0.1, "b": 123456789012345678.123456789, "c": 1e3, "d": 7}')
    assert found == {"a": Decimal("0.1"), "b": Decimal("123456789012345678.123456789"), "c": Decimal("1000"), "d": 7}
    assert not any(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999999999}',
        b'{"a": 1e-999999999}',
        b'{"a": 1e9999999999999999999999}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_object_of_plain_fields_is_refused(body: bytes) -> None:
    with pytest.raises(FieldsError):
        read_fields(body)


@given(st.text())
def test_an_opaque_text_gives_back_what_it_was_made_of(text: str) -> None:
    found = opaque(text)
    assert plain(found) == text
    assert found.replace("-", "").replace("_", "").isalnum() or not text


@pytest.mark.parametrize("text", ["é", "a", "a b", "_w", "////"])
def test_what_was_never_made_opaque_is_none(text: str) -> None:
    assert plain(text) is None
