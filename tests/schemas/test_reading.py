"""A line is read exactly, or refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterline_schemas.reading import (
    InvalidLine,
    decode_line,
    names_problem,
    read_properties,
    read_quantity,
    utc_milliseconds,
)
from meterline_schemas.reject import Reason


def in_range(instant: datetime) -> bool:
    return 1 < instant.year < 9999


LINE = b'{"id":"a","tenant_id":"t","metric":"m","quantity":%s,"timestamp":"2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b"{", Reason.INVALID_JSON),
        (b"\xff", Reason.INVALID_JSON),
        (b'{"x":' + b"[" * 100_000, Reason.INVALID_JSON),
        (b"1", Reason.INVALID_EVENT),
        (b"{}", Reason.INVALID_EVENT),
        (LINE.replace(b'"a"', b'""') % b"1", Reason.INVALID_EVENT),
        (LINE.replace(b'"a"', b"1") % b"1", Reason.INVALID_EVENT),
        (LINE.replace(b"00Z", b"00") % b"1", Reason.INVALID_EVENT),
        (LINE.replace(b'"t"', b'"%s"' % (b"t" * 257)) % b"1", Reason.INVALID_EVENT),
        (b" " * 300_000, Reason.INVALID_EVENT),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_a_reason(line: bytes, reason: Reason) -> None:
    with pytest.raises(InvalidLine) as raised:
        decode_line(line)
    assert raised.value.reason == reason
    assert raised.value.detail


@pytest.mark.parametrize(
    ("raw", "text"), [(b"1", "1"), (b'"1.50"', "1.5"), (b"1e3", "1000"), (b"-0", "0"), (b'"\\u0031"', "1")]
)
def test_a_quantity_is_a_number_or_a_string(raw: bytes, text: str) -> None:
    assert read_quantity(bytes(decode_line(LINE % raw).quantity))[1] == text


@pytest.mark.parametrize("raw", [b"true", b"null", b"[]", b"{}", b'"one"', b'""'])
def test_a_quantity_of_another_kind_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidLine) as raised:
        read_quantity(raw)
    assert raised.value.reason == Reason.INVALID_EVENT


def test_a_number_with_a_million_digits_costs_nothing() -> None:
    with pytest.raises(InvalidLine) as raised:
        read_quantity(b"9" * 1_000_000)
    assert raised.value.reason == Reason.QUANTITY_OUT_OF_RANGE


def test_properties_keep_the_text_of_their_values() -> None:
    raw = b'{"s":"x","n":1.10,"b":true,"none":null,"o":{"a":[1]}}'
    assert read_properties(raw) == {"s": "x", "n": "1.10", "b": "true", "o": '{"a":[1]}'}


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"{%s}" % b",".join(b'"%d":1' % n for n in range(101))])
def test_properties_that_are_no_small_object_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidLine):
        read_properties(raw)


@pytest.mark.parametrize("name", ["\\u0000", "\\n", "a\\u007fb", "\\u202e"])
def test_names_with_unprintable_characters_are_refused(name: str) -> None:
    event = decode_line((LINE % b"1").replace(b'"a"', f'"{name}"'.encode()))
    assert names_problem(event) == "id has control or other unprintable characters"


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=45))])).filter(in_range))
def test_a_time_is_cut_to_milliseconds_and_never_moved_forward(instant: datetime) -> None:
    cut = utc_milliseconds(instant)
    assert timedelta(0) <= instant - cut < timedelta(milliseconds=1)
    assert cut.tzinfo is UTC
    assert cut.microsecond % 1000 == 0


DIGITS = st.text("0123456789", min_size=3, max_size=3)
FRACTIONS = st.one_of(
    st.text("0123456789", min_size=1, max_size=12),
    st.builds("{}999{}".format, DIGITS, st.text("0123456789", max_size=6)),
)


@example("999999999", "Z")
@example("9999995", "+05:30")
@given(FRACTIONS, st.sampled_from(["Z", "+00:00", "-05:45"]))
def test_a_line_that_is_finer_than_microseconds_is_cut_too(fraction: str, zone: str) -> None:
    line = (LINE % b"1").replace(b"2026-01-01T00:00:00Z", f"2026-12-31T23:59:59.{fraction}{zone}".encode())
    cut = utc_milliseconds(decode_line(line).timestamp)
    assert cut == datetime.fromisoformat(f"2026-12-31T23:59:59.{fraction[:3]:0<3}{zone.replace('Z', '+00:00')}")
