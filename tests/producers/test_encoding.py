"""Lines: what an app passes is what the stream reads, to the last digit and character."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline import InvalidUsageError
from meterline.encoding import line_of, line_of_event, name_text, quantity_text, time_text
from meterline_schemas.event import UsageEvent
from meterline_schemas.quantity import LIMIT, NANO, format_nano, parse_nano
from meterline_schemas.reading import (
    InvalidLine,
    decode_line,
    names_problem,
    read_properties,
    read_quantity,
    utc_milliseconds,
)
from meterline_schemas.reject import Reason

NOW = "2026-01-01T00:00:00.000Z"
names = st.text(min_size=1, max_size=256).filter(str.isprintable)
quantities = st.integers(-(LIMIT * NANO - 1), LIMIT * NANO - 1).map(format_nano)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | finite
properties = st.none() | st.dictionaries(st.text(), scalars, max_size=9)
instants = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])).filter(
    lambda instant: 1 < instant.year < 9999
)


@given(names, names, names, quantities, instants, st.none() | names, st.none() | names, properties)
def test_every_event_is_read_back_as_it_was_passed(
    id: str,
    tenant_id: str,
    metric: str,
    quantity: str,
    timestamp: datetime,
    subject: str | None,
    source: str | None,
    given: dict[str, Any] | None,
) -> None:
    line = line_of(
        name_text("id", id), tenant_id, metric, Decimal(quantity), time_text(timestamp), subject, source, given
    )
    assert "\n" not in line
    event = decode_line(line.encode())
    assert names_problem(event) is None
    assert (event.id, event.tenant_id, event.metric) == (id, tenant_id, metric)
    assert (event.subject, event.source) == (subject, source)
    assert read_quantity(bytes(event.quantity)) == (parse_nano(quantity), quantity)
    assert event.timestamp == utc_milliseconds(timestamp)
    assert msgspec.json.decode(bytes(event.properties) or b"{}") == (given or {})
    again = line_of_event(event)
    assert line_of_event(decode_line(again.encode())) == again


@given(st.lists(st.tuples(names, quantities), min_size=1, max_size=20))
def test_lines_joined_are_as_many_events(events: list[tuple[str, str]]) -> None:
    lines = [line_of("a", tenant_id, "m", quantity, NOW, None, None, None) for tenant_id, quantity in events]
    decoded = [decode_line(line) for line in "\n".join(lines).encode().split(b"\n")]
    assert [(event.tenant_id, read_quantity(bytes(event.quantity))[1]) for event in decoded] == events


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (1, "1"),
        (0, "0"),
        (-3, "-3"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("-0", "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.000"), "1"),
        (Decimal("0E-20"), "0"),
        (LIMIT - 1, "999999999999999999"),
    ],
)
def test_a_quantity_is_written_short_and_plain(quantity: int | Decimal | str, text: str) -> None:
    assert quantity_text(quantity) == text
    assert f'"quantity":"{text}"' in line_of("a", "t", "m", quantity, NOW, None, None, None)


@pytest.mark.parametrize("quantity", [0.1, 1.0, float("nan"), True, None, b"1", [1], 1j])
def test_a_quantity_of_another_type_is_a_type_error_whatever_its_value(quantity: Any) -> None:
    with pytest.raises(TypeError, match="quantity must be an int, a Decimal or a str") as raised:
        line_of("a", "t", "m", quantity, NOW, None, None, None)
    if isinstance(quantity, float):
        assert "round it to a Decimal first" in str(raised.value)


@pytest.mark.parametrize(
    "quantity", ["one", "", "1,5", Decimal("NaN"), Decimal("Infinity"), LIMIT, -LIMIT, "0.0000000001", Decimal("1E+18")]
)
def test_a_quantity_that_can_never_count_is_refused(quantity: Any) -> None:
    with pytest.raises(InvalidUsageError):
        line_of("a", "t", "m", quantity, NOW, None, None, None)


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "\x00", "\ud800"])
def test_a_name_that_can_never_count_is_refused(name: str) -> None:
    with pytest.raises(InvalidUsageError):
        line_of("a", name, "m", 1, NOW, None, None, None)
    with pytest.raises(InvalidUsageError):
        line_of("a", "t", name, 1, NOW, None, None, None)


@pytest.mark.parametrize("name", [None, 1, b"t", ["t"]])
def test_a_name_of_another_type_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError):
        line_of("a", name, "m", 1, NOW, None, None, None)


@pytest.mark.parametrize("given", [{str(n): 1 for n in range(101)}, {"a": "\ud800"}])
def test_properties_that_can_never_count_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidUsageError):
        line_of("a", "t", "m", 1, NOW, None, None, given)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidUsageError, match="time zone"):
        time_text(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(TypeError):
        time_text("2026-01-01T00:00:00Z")  # type: ignore[arg-type]


def test_a_time_is_cut_and_not_rounded() -> None:
    instant = datetime(2026, 1, 1, 2, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(instant) == "2026-01-01T00:00:00.999Z"


class SomebodysTime(datetime):
    """As pandas, pendulum and freezegun have theirs."""


@given(instants)
def test_a_time_reads_as_isoformat_writes_it_of_whatever_kind_it_is(instant: datetime) -> None:
    written = instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert time_text(instant) == time_text(instant.replace(microsecond=instant.microsecond // 1000 * 1000)) == written
    parts = instant.timetuple()[:6]
    assert time_text(SomebodysTime(*parts, instant.microsecond, instant.tzinfo)) == written


def test_properties_written_over_several_lines_stay_on_one() -> None:
    raw = b'{\n  "a": "x\\ny",\r\n  "n": 1.10\n}'
    event = decode_line(
        b'{"id":"a","tenant_id":"t","metric":"m","quantity":1,"timestamp":"%s","properties":%s}' % (NOW.encode(), raw)
    )
    line = line_of_event(event)
    assert "\n" not in line
    assert "\r" not in line
    assert read_properties(bytes(decode_line(line.encode()).properties)) == {"a": "x\ny", "n": "1.10"}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("quantity", "1e18", Reason.QUANTITY_OUT_OF_RANGE),
        ("quantity", "true", Reason.INVALID_EVENT),
        ("properties", "[1]", Reason.INVALID_EVENT),
        ("subject", '"\\u0000"', Reason.INVALID_EVENT),
        ("properties", '{"a":"%s"}' % ("x" * 262_144), Reason.INVALID_EVENT),
    ],
)
def test_an_event_from_elsewhere_is_refused_as_the_stream_would(field: str, value: str, reason: Reason) -> None:
    fields = {"id": '"a"', "tenant_id": '"t"', "metric": '"m"', "quantity": "1", "timestamp": f'"{NOW}"', field: value}
    line = "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
    event = msgspec.json.decode(line, type=UsageEvent)
    with pytest.raises(InvalidLine) as raised:
        line_of_event(event)
    assert raised.value.reason == reason
