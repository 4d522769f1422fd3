"""Rejected lines without any server: cursors, statements, and what is sent again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline.records import Line
from meterline_api.opaque import opaque
from meterline_api.rejected import counting
from meterline_api.rejected.places import LAST_MS, Place, milliseconds, read_numbers, write_numbers
from meterline_api.rejected.replaying import Cursor, Replay, _portions
from meterline_api.rejected.replaying import CursorError as ReplayCursorError
from meterline_api.rejected.statements import Asked, CountQuery, Group, Step
from meterline_api.usage.query import CursorError
from meterline_schemas.catalog import Metric
from meterline_schemas.reject import Reason, keep

NUMBERS = st.integers(0, LAST_MS - 1)
AT = datetime(2026, 11, 21, 6, 12, 10, tzinfo=UTC)


@given(st.builds(Place, NUMBERS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)))
def test_a_place_survives_its_cursor(place: Place) -> None:
    assert place.holds
    assert read_numbers(write_numbers(place), 4) == place
    assert Cursor.read(Cursor(5, place).write()) == (5, place)


@given(st.text(max_size=40) | st.text("0123456789 -", max_size=90).map(opaque))
def test_what_is_no_cursor_is_told(text: str) -> None:
    numbers = read_numbers(text, 4)
    assert numbers is None or len(numbers) == 4
    try:
        cursor = Cursor.read(text)
    except ReplayCursorError:
        pass
    else:
        assert cursor.after.holds
        assert cursor.end.tzinfo is not None
    try:
        key = counting.read_cursor(text, [Group.REASON])
    except CursorError:
        pass
    else:
        assert len(key) == 2


@given(st.datetimes(timezones=st.sampled_from([UTC])))
def test_every_instant_is_one_that_the_table_holds(instant: datetime) -> None:
    found = milliseconds(instant)
    assert 0 <= found < LAST_MS
    if datetime(1970, 1, 1, tzinfo=UTC) <= instant < datetime(2262, 1, 1, tzinfo=UTC):
        since = instant - datetime(1970, 1, 1, tzinfo=UTC)
        assert found == -(-since // timedelta(milliseconds=1))


def test_a_filter_never_becomes_part_of_a_statement() -> None:
    evil = "x' OR 1=1 --"
    conditions, parameters = Asked((Reason.TOO_OLD,), (evil,), evil, evil, AT, AT).where()
    assert evil not in " ".join(conditions)
    assert parameters["tenants"] == [evil]
    assert parameters["metric"] == parameters["id"] == evil


def test_whoever_reaches_no_tenant_is_shown_nothing_and_not_everything() -> None:
    conditions, parameters = Asked(tenants=()).where()
    assert "r.tenant_id IN {tenants:Array(String)}" in conditions
    assert parameters["tenants"] == []


def test_counts_of_a_window_that_the_range_cuts_say_so() -> None:
    start, end = AT, AT + timedelta(hours=2)
    query = CountQuery(Asked(), Step.HOUR, (Group.METRIC, Group.REASON), limit=2)
    hour = int(AT.replace(minute=0, second=0).timestamp())
    rows = [(hour, "duplicate", "m", 3), (hour + 7200, "duplicate", "m", 1), (hour + 7200, "too_old", "m", 1)]
    answer = counting.answer(query, start, end, rows)
    assert [(row.start, row.end, row.lines) for row in answer.data] == [
        (AT, AT.replace(hour=7, minute=0, second=0), 3),
        (AT.replace(hour=8, minute=0, second=0), end, 1),
    ]
    assert answer.next_cursor is not None
    assert counting.read_cursor(answer.next_cursor, query.group_by) == (hour + 7200, "duplicate", "m")
    with pytest.raises(CursorError, match="another request"):
        counting.read_cursor(answer.next_cursor, [Group.REASON])


_KEYS = st.lists(st.tuples(st.text(max_size=256), st.text(max_size=5), st.integers(), st.text(max_size=256)))


@given(_KEYS)
def test_keys_are_asked_for_in_portions_that_leave_none_out(keys: list[tuple[str, str, int, str]]) -> None:
    portions = list(_portions(keys))
    assert [key for portion in portions for key in portion] == keys
    assert all(portions)


# what is sent again


class Table:
    """Answers the three questions of a replay: distinct places, lines at places, keys that count."""

    def __init__(self, *lines: tuple[bytes, Reason]) -> None:
        self._rows = {number: self._row(number, line, reason) for number, (line, reason) in enumerate(lines)}

    @staticmethod
    def _row(number: int, line: bytes, reason: Reason) -> tuple[Any, ...]:
        return number, 0, number, 0, "usage.events", reason.value, "why", "acme", "sms", "x", 1, *keep(line)

    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]:
        if "usage_events_raw" in sql:
            return []
        if "places" in parameters:
            return [self._rows[offset] for _partition, offset, _line in parameters["places"]]
        return [(number, 0, number, 0) for number in self._rows]


class Topic:
    def __init__(self) -> None:
        self.lines: list[Line] = []

    async def send(self, lines: Sequence[Line]) -> list[bool]:
        self.lines += lines
        return [True] * len(lines)


def event(**more: object) -> bytes:
    fields = {"id": "1", "tenant_id": "acme", "metric": "sms", "quantity": 1, "timestamp": AT.isoformat()}
    return json.dumps({**fields, **more}).encode()


def replayed(*lines: tuple[bytes, Reason], tenants: Set[str] | None = None) -> tuple[Replay, list[Line]]:
    topic = Topic()
    run = Replay(Table(*lines), {"sms": Metric(key="sms")}, topic, tenants)
    asyncio.run(run.all(Asked(), 100, Cursor(0, Place(0, 0, 0, 0))))
    return run, topic.lines


def test_each_line_that_is_not_sent_is_counted_with_why() -> None:
    run, sent = replayed(
        (event(), Reason.UNKNOWN_METRIC),
        (event(metric="fax"), Reason.UNKNOWN_METRIC),
        (event(quantity=-1), Reason.QUANTITY_OUT_OF_RANGE),
        (event(properties={"note": "x" * 70_000}), Reason.TOO_OLD),
        (b"\xff", Reason.TOO_OLD),
        (b"{}", Reason.TOO_OLD),
        (event(), Reason.DUPLICATE),
        (b"{", Reason.INVALID_JSON),
    )
    assert [text.encode() for _tenant, text, _size in sent] == [event()]
    assert (run.outcome.matched, run.outcome.chosen, run.outcome.replayed) == (8, 1, 1)
    assert {reason: count for (reason, _detail), count in run.outcome.skipped.items()} == {
        "still_unknown": 1,
        "still_out_of_range": 1,
        "too_long": 1,
        "no_event": 2,
        "duplicate": 1,
        "invalid_json": 1,
    }


def test_lines_of_a_tenant_that_is_still_unknown_are_not_sent_and_named() -> None:
    run, sent = replayed((event(), Reason.UNKNOWN_TENANT), (event(id="2"), Reason.UNKNOWN_METRIC), tenants={"other"})
    assert sent == []
    assert {reason: count for (reason, _detail), count in run.outcome.skipped.items()} == {"tenant_still_unknown": 2}
    assert run.outcome.undefined_tenants == {"acme"}
    run, sent = replayed((event(), Reason.UNKNOWN_TENANT), tenants={"acme"})
    assert [text.encode() for _tenant, text, _size in sent] == [event()]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4), st.sampled_from(["\n", "\r\n", " \n\n"]))
def test_an_event_over_several_lines_is_sent_as_the_same_event_on_one(properties: dict[str, str], ends: str) -> None:
    spread = event(properties=properties).replace(b'", "', f'",{ends}"'.encode())
    _run, sent = replayed((spread, Reason.UNKNOWN_METRIC))
    ((tenant, text, size),) = sent
    assert "\n" not in text
    assert (tenant, size) == ("acme", len(text.encode()))
    assert json.loads(text) == json.loads(spread)
