"""The counting of ``meterline reconcile``, with values alone: lines, verdicts, sums and times."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_deploy.reconcile.buckets import LATE, Hashes, different, runs
from meterline_deploy.reconcile.check_topic import kept
from meterline_deploy.reconcile.lines import Places, Source, count_lines, origins, tally
from meterline_deploy.reconcile.report import Check, Difference, Report
from meterline_deploy.reconcile.scope import Slices
from meterline_deploy.reconcile.shapes import EVENTS, TOTALS, decimal, instant
from meterline_deploy.reconcile.times import Period, parse_instant
from meterline_deploy.reconcile.warehouse import text
from meterline_schemas.errors import ConfigurationError

MASK = 2**64 - 1
NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)

numbers = st.integers(0, 12)
verdict = st.tuples(st.sampled_from(["accepted", "rejected", "forwarded"]), numbers, numbers)


@pytest.mark.parametrize(
    ("value", "lines", "one_value"),
    [
        (None, 0, False),
        (b"", 0, False),
        (b" \n\n\t\n", 0, False),
        (b"{}", 1, False),
        (b"\n{}\n\n{}\r\n", 2, False),
        (b"not\njson", 2, False),
        (b'{\n"a": 1\n}', 3, True),
        (b'{"a": {}\n}', 2, True),
        (b"1\n2", 2, False),
        (b"[" * 100_000 + b"\n", 1, False),
        (b"[" * 100_000 + b"\n[", 2, False),
        (b'"\xff\n"', 2, False),
    ],
)
def test_a_line_is_a_non_blank_line_of_a_record(value: bytes | None, lines: int, one_value: bool) -> None:
    assert count_lines(value) == (lines, one_value)


def test_origins_are_read_and_what_others_write_names_nothing() -> None:
    headers = [("meterline-hop", b"1"), ("meterline-origin", b"3:17:0,2,5"), ("meterline-origin", b"what:ever")]
    assert list(origins(headers)) == [(3, 17, 0), (3, 17, 2), (3, 17, 5)]
    assert list(origins(None)) == []
    assert (
        list(origins([("meterline-origin", b"\xff"), ("meterline-origin", None), ("meterline-origin", b"1:2:")])) == []
    )


@given(
    records=st.dictionaries(numbers, st.integers(0, 4)),
    verdicts=st.lists(verdict, max_size=30),
    start=numbers,
    end=numbers,
)
def test_lines_and_verdicts_are_told_apart_as_a_plain_count_does(
    records: dict[int, int], verdicts: list[tuple[str, int, int]], start: int, end: int
) -> None:
    source = Source()
    for offset in sorted(records):
        source.add(offset, b"\n".join(b"{}" for _ in range(records[offset])))
    places = {kind: Places() for kind in ("accepted", "rejected", "forwarded")}
    for kind, offset, line in verdicts:
        places[kind].add(offset, line)
    found = tally(source, places, start, end)
    lines = {(o, n) for o, count in records.items() if start <= o < end for n in range(count)}
    counts = Counter((o, n) for _kind, o, n in verdicts if start <= o < end)
    assert found.lines == len(lines)
    assert {(w.offset, w.line) for w in found.wrong if w.exists} == {key for key in lines if counts[key] != 1}
    assert {(w.offset, w.line) for w in found.wrong if not w.exists} == counts.keys() - lines
    assert all(len(w.verdicts) == counts[w.offset, w.line] for w in found.wrong)


@pytest.mark.parametrize(("verdicts", "wrong"), [([0], []), ([0, 1, 2], []), ([0, 1], [2]), ([], [0, 1, 2])])
def test_one_json_value_over_several_lines_is_one_line_or_each_of_them(verdicts: list[int], wrong: list[int]) -> None:
    source, accepted = Source(), Places()
    source.add(7, b'{\n"a": 1\n}')
    for line in verdicts:
        accepted.add(7, line)
    found = tally(source, {"accepted": accepted, "rejected": Places(), "forwarded": Places()}, 0, 10)
    if verdicts:
        assert [each.line for each in found.wrong] == wrong
    else:
        assert [(each.line, each.verdicts) for each in found.wrong] == [(0, ())]


def test_a_reject_may_stand_for_several_lines() -> None:
    source, rejected = Source(), Places()
    source.add(0, b"x\n" * 10)
    rejected.add(0, 0)
    rejected.add(0, 1, lines=9)
    assert tally(source, {"accepted": Places(), "rejected": rejected, "forwarded": Places()}, 0, 1).wrong == []


def test_after_the_newest_progress_a_verdict_is_wrong_and_a_forward_is_not() -> None:
    verdicts = {kind: Places() for kind in ("accepted", "rejected", "forwarded")}
    for each in verdicts.values():
        each.add(5, 0)
    assert [w.verdicts for w in tally(Source(), verdicts, 0, 5, newest=True).wrong] == [("accepted", "rejected")]
    assert tally(Source(), verdicts, 0, 5).wrong == []


row = st.tuples(st.integers(0, 6), st.integers(0, 40), st.booleans())


@given(st.lists(row, max_size=60), st.integers(1, 9))
def test_the_copy_that_stands_is_on_time_before_late_and_then_the_first(
    rows: list[tuple[int, int, bool]], width: int
) -> None:
    hashes, best = Hashes(), dict[int, tuple[int, int, int]]()
    for key, offset, late in rows:
        rank, whole = (offset | LATE if late else offset), hash((key, offset, late)) & MASK
        hashes.add(key, whole, rank, offset)
        best[key] = min(best.get(key, (2**65, 0, 0)), (rank, whole, offset))
    expected: dict[int, tuple[int, int]] = {}
    for _rank, whole, offset in best.values():
        count, total = expected.get(offset // width, (0, 0))
        expected[offset // width] = (count + 1, (total + whole) & MASK)
    standing = hashes.standing(0, 100)
    assert standing.sums(0, width) == expected
    on_time = {(key, offset) for key, offset, late in rows if not late}
    assert len(standing.twice) == len(on_time) - len({key for key, _offset in on_time})


def test_buckets_that_differ_are_found_and_neighbours_joined() -> None:
    expected = {0: (1, 5), 1: (2, 6), 2: (1, 1), 9: (1, 1)}
    found = {0: (1, 5), 1: (2, 7), 3: (1, 1), 9: (2, 1)}
    assert different(expected, found) == [1, 2, 3, 9]
    assert runs([1, 2, 3, 9]) == [(1, 3), (9, 9)]
    assert different({}, {}) == []


@given(st.integers(0, 10**12), st.integers(0, 10**7), st.data())
def test_every_offset_lies_in_one_slice(start: int, length: int, data: st.DataObject) -> None:
    slices = Slices(start, start + length)
    offset = data.draw(st.integers(start, start + max(0, length - 1)))
    first, end = slices.offsets(slices.of(offset), slices.of(offset))
    assert length == 0 or first <= offset < end
    assert length == 0 or 0 <= slices.of(offset) < 2049


def test_rows_are_text_as_clickhouse_writes_it() -> None:
    assert instant("2026-11-21T05:00:00Z") == "2026-11-21 05:00:00.000"
    assert instant("2026-11-21T05:00:00.120000Z") == "2026-11-21 05:00:00.120"
    assert instant("2026-11-21T05:00:00.007Z") == "2026-11-21 05:00:00.007"
    assert [decimal(each) for each in ("1.50", "10", "0.000000001", "0.0", "-2.0", "100")] == [
        *("1.5", "10", "0.000000001", "0", "-2", "100")
    ]
    assert text("it's \\ \0") == "'it\\'s \\\\ \\0'"
    assert np.uint64(EVENTS.hashes(["a", "b", "c", "d", "1"])[0]) == EVENTS.hashes(["a", "b", "c", "d", "2"])[0]
    assert EVENTS.hashes(["a", "bc", "", ""])[0] != EVENTS.hashes(["ab", "c", "", ""])[0]
    assert TOTALS.names[:4] == ["tenant_id", "metric", "hour", "kafka_partition"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:30:00Z", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
        ("2026-11-01T06:30:00+02:00", datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_day_or_an_instant(written: str, meant: datetime) -> None:
    assert parse_instant(written, "--from") == meant


@pytest.mark.parametrize(
    "written", ["", "today", "2026-13-01", "2026-11-31", "2026-11-01T06:30:00", "0001-01-01T00:00:00+09:00"]
)
def test_anything_else_is_refused_and_the_option_named(written: str) -> None:
    with pytest.raises(ConfigurationError, match="--to"):
        parse_instant(written, "--to")


def test_a_period_is_widened_to_whole_hours() -> None:
    asked = Period(NOW, NOW + timedelta(minutes=1))
    assert asked.whole_hours() == Period(NOW.replace(minute=0), NOW.replace(hour=6, minute=0))
    assert Period().whole_hours() == Period()
    assert asked.whole_hours().whole_hours() == asked.whole_hours()


def test_what_the_totals_topic_may_have_forgotten_is_not_asked_of_it() -> None:
    everything = Period()
    assert kept(everything, {0: (0, 5), 1: (0, 9)}, NOW) == everything
    forgotten = kept(everything, {0: (0, 5), 1: (3, 9)}, NOW)
    assert forgotten == Period(datetime(2026, 10, 7, 6, tzinfo=UTC))
    recent = Period(NOW.replace(minute=0))
    assert kept(recent, {0: (3, 9)}, NOW) == recent


def test_the_last_line_says_which_checks_differ_and_how_much() -> None:
    check = Check("rows", "", "events", compared=1000)
    report = Report(checks=[check, Check("lines", "", "lines")])
    assert report.exact
    check.add([Difference("missing", {"id": str(n)}) for n in range(3)], limit=2)
    assert (len(check.differences), check.count) == (2, 3)
    assert report.closing() == "DIFFERENT: rows: 3 different of 1,000 events"
