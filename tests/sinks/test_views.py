"""What analysts read, against an independent count of what was written."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.sinks.conftest import Tables
from tests.sinks.usage import (
    LARGEST,
    START,
    Answer,
    Event,
    Key,
    answers,
    checkpoints,
    events,
    fold,
    instant,
    standing,
    total,
)

COLUMNS = "tenant_id, metric, toString({size}), count, sum, min, max, last, last_timestamp, last_id"


def view(tables: Tables, size: str) -> dict[Key, Answer]:
    name = {"hour": "usage_hourly", "day": "usage_daily", "month": "usage_monthly"}[size]
    rows = tables.rows(f"SELECT {COLUMNS.format(size=size)} FROM {name}")
    found = {(row[0], row[1], row[2]): (*row[3:8], row[8].replace(tzinfo=UTC), row[9]) for row in rows}
    assert len(found) == len(rows), "a window has more than one row"
    return found


def event(id: str, quantity: str, *, late: bool = False, offset: int = 0, at: datetime = START) -> Event:
    return Event("acme", "calls", at, id, Decimal(quantity), late, 0, offset)


@pytest.mark.parametrize("seed", [1, 2])
def test_hours_days_and_months_equal_an_independent_count_however_it_was_written(tables: Tables, seed: int) -> None:
    lines = events(seed, 1000)
    written = checkpoints(lines, 40)
    for start in range(0, len(written), 30):
        piece = written[start : start + 30]
        # some of it is written twice, as after a crash between insert and commit
        tables.insert("usage_events_raw", [line for checkpoint in piece for line in checkpoint.accepted])
        tables.insert("usage_events_raw", [line for checkpoint in piece[::3] for line in checkpoint.accepted])
    random.Random(seed).shuffle(written)  # older versions after newer ones
    for checkpoint in (*written, *written[::3]):
        tables.insert("usage_totals", [value for _, value in checkpoint.totals] or [total([lines[0]], 0)])
    for size in ("hour", "day", "month"):
        assert view(tables, size) == answers(lines, size)


def test_raw_events_show_each_event_once(tables: Tables) -> None:
    lines = events(7, 1500)
    for start in (0, 500, 1000, 0, 500):
        tables.insert("usage_events_raw", [line.line() for line in lines[start : start + 500]])
    rows = tables.rows("SELECT tenant_id, metric, timestamp, id, quantity, late, kafka_offset FROM usage_events")
    expected = [(e.tenant_id, e.metric, e.timestamp, e.id, e.quantity, int(e.late), e.offset) for e in standing(lines)]
    assert sorted((*row[:2], row[2].replace(tzinfo=UTC), *row[3:]) for row in rows) == sorted(expected)
    assert tables.rows("SELECT count() FROM usage_events_raw")[0][0] > len(expected)


def test_an_event_on_time_wins_over_its_late_repeat_whichever_is_written_first(tables: Tables) -> None:
    on_time, repeat = event("a", "3", offset=1), event("a", "5", offset=900, late=True)
    tables.insert("usage_totals", [total([on_time], 2)])
    for order in ([on_time, repeat], [repeat, on_time], [on_time], [repeat]):
        for line in order:
            tables.insert("usage_events_raw", [line.line()])
        if on_time in order:
            assert tables.rows("SELECT quantity, late FROM usage_events") == [(Decimal(3), 0)]
            assert view(tables, "hour") == answers([on_time, repeat], "hour")


def test_of_late_repeats_the_first_that_came_stands_in_whatever_order_they_are_written(tables: Tables) -> None:
    first, second = event("a", "3", offset=1, late=True), event("a", "5", offset=900, late=True)
    for order in ([first, second], [second, first], [second], [first]):
        for line in order:
            tables.insert("usage_events_raw", [line.line()])
        if first in order:
            assert tables.rows("SELECT quantity FROM usage_events") == [(Decimal(3),)]
            assert view(tables, "day") == answers([first, second], "day")


def test_late_events_are_added_to_totals_and_to_hours_that_have_none(tables: Tables) -> None:
    on_time = [event("a", "2", offset=1), event("b", "4", offset=2)]
    late = [event("c", "-1", offset=3, late=True), event("d", "9", offset=4, late=True, at=START - timedelta(days=30))]
    tables.insert("usage_events_raw", [line.line() for line in (*on_time, *late)])
    tables.insert("usage_totals", [total(on_time, 3)])
    assert view(tables, "month") == answers((*on_time, *late), "month")
    assert len(view(tables, "hour")) == 2


def test_the_newest_version_of_a_total_stands_even_when_an_older_one_is_written_after_it(tables: Tables) -> None:
    older, newer = [event("a", "2")], [event("a", "2"), event("b", "4", offset=1)]
    tables.insert("usage_totals", [total(newer, 20)])
    tables.insert("usage_totals", [total(older, 10)])
    assert view(tables, "hour") == {("acme", "calls", "2026-10-29 22:00:00"): fold(newer)}


def test_totals_of_two_partitions_add_up(tables: Tables) -> None:
    here = event("a", "2")
    there = Event("acme", "calls", START, "b", Decimal(4), False, 1, 5)
    tables.insert("usage_totals", [total([here], 1), total([there], 1)])
    assert view(tables, "hour") == answers([here, there], "hour")


def test_last_is_by_timestamp_and_then_by_id(tables: Tables) -> None:
    lines = [
        event("z", "1", at=START),
        event("a", "2", at=START + timedelta(milliseconds=1)),
        event("B", "3", at=START + timedelta(milliseconds=1), late=True, offset=8),
        event("é", "4", at=START + timedelta(milliseconds=1), late=True, offset=9),
    ]
    tables.insert("usage_events_raw", [line.line() for line in lines])
    tables.insert("usage_totals", [total(lines[:2], 1)])
    (answer,) = view(tables, "day").values()
    assert answer[4:] == (Decimal(4), START + timedelta(milliseconds=1), "é")
    assert view(tables, "day") == answers(lines, "day")


def test_sums_at_the_bounds_are_exact(tables: Tables) -> None:
    # 40 hours of 10^20 times almost 10^18: far beyond what 38 digits hold
    count, hours = 10**18, 40
    nano = int(str(LARGEST).replace(".", ""))
    lines = []
    for hour in range(hours):
        fields = json.loads(total([event("a", str(LARGEST), at=START + timedelta(hours=hour))], 1))
        lines.append(json.dumps({**fields, "count": count // hours, "sum": str(nano * 10**20)}).encode())
    tables.insert("usage_totals", lines)
    tables.insert("usage_events_raw", [event("b", str(-LARGEST), late=True, offset=4).line()])
    rows = tables.rows("SELECT toString(sum(sum)) AS total, sum(count) AS events, min(min) AS least FROM usage_daily")
    expected = nano * 10**20 * hours * 10**9 - nano
    assert (int(rows[0][0].replace(".", "")), rows[0][1], rows[0][2]) == (expected, count + 1, -LARGEST)


def test_what_a_row_holds_is_what_the_line_said(tables: Tables) -> None:
    line = {
        "tenant_id": 'ten\u0001ant "x" 名',
        "metric": "m",
        "timestamp": "2026-11-01T00:00:00.001Z",
        "id": "i",
        "quantity": "-999999999999999999.999999999",
        "kafka_partition": 7,
        "kafka_offset": 2**62,
        "kafka_line": 9999,
        "received_at": "2026-11-01T00:00:00Z",
    }
    tables.insert("usage_events_raw", [json.dumps(line).encode()])
    rows = tables.rows(
        "SELECT tenant_id, toString(timestamp), quantity, subject, source, properties, late, on_time, kafka_partition, "
        "kafka_offset, kafka_line, toString(received_at), inserted_at > now64(3) - 600 FROM usage_events_raw"
    )
    assert rows == [
        (
            line["tenant_id"], "2026-11-01 00:00:00.001", -LARGEST, "", "", {}, 0, 1, 7, 2**62, 9999,
            "2026-11-01 00:00:00.000", 1,
        )
    ]  # fmt: skip


def test_freshness_is_what_all_three_topics_have_reached(tables: Tables) -> None:
    def progress(topic: str, partition: int, offset: int) -> bytes:
        return json.dumps(
            {
                "topic": topic, "kafka_partition": partition, "next_offset": offset,
                "received_until": instant(START + timedelta(seconds=offset)),
                "latest_timestamp": instant(START + timedelta(minutes=offset)),
                "lines": offset * 3, "accepted": offset * 2, "late": 1, "rejected": offset, "forwarded": 0,
            }
        ).encode()  # fmt: skip

    tables.insert("usage_progress", [progress("usage.accepted", 0, 50), progress("usage.rejected", 0, 40)])
    question = (
        "SELECT kafka_partition, complete_to_offset, complete_until, lines, accepted FROM usage_freshness ORDER BY 1"
    )
    assert tables.rows(question)[0][:2] == (0, 0), "totals have not reported yet"
    tables.insert("usage_progress", [progress("usage.totals", 0, 45), progress("usage.rejected", 0, 10)])
    for topic in ("usage.accepted", "usage.rejected", "usage.totals"):
        tables.insert("usage_progress", [progress(topic, 1, 7)])
    rows = [(*row[:2], row[2].replace(tzinfo=UTC), *row[3:]) for row in tables.rows(question)]
    assert rows == [
        (0, 40, START + timedelta(seconds=40), 120, 80),
        (1, 7, START + timedelta(seconds=7), 21, 14),
    ]
