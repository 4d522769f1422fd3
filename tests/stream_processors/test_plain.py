"""Plain records, judged at once: the same verdicts as line by line, or none."""

from __future__ import annotations

import json
from collections.abc import Set
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_schemas.catalog import Metric
from meterline_schemas.event import MAX_LINES_PER_RECORD
from meterline_streams.judge import Bounds, Judge, SourceRecord, Verdicts, instant
from meterline_streams.plain import PlainJudge
from tests.support.examples import few

METRICS = {
    "a": Metric(key="a", allow_negative=True),
    "b": Metric(key="b"),
    "c": Metric(key="c", retired=True),
    "of_t1": Metric(key="of_t1", tenant_id="t1"),
}
NOW = 1_795_000_000_000
BOUNDS = Bounds(
    oldest=instant(NOW) - timedelta(days=35),
    newest=instant(NOW) + timedelta(minutes=5),
    late_before=instant(NOW) - timedelta(hours=6),
)
PARTITIONS = 3

quantity = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.decimals(0, 10**18, places=9).map(lambda d: f"{d:f}"),
    st.integers(0, 9_999).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
    st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["", "-0", "0.0", "01", "1.", ".5", "1_0", "\u0661", "1\n2", " 1", "+1", "9" * 5000]),
)
time = st.integers(-40 * 86_400_000, 10 * 60_000).map(lambda off: instant(NOW + off).isoformat(timespec="milliseconds"))
name = st.one_of(st.sampled_from(["x", "y", "é\u00ad", "\x00", "", "n" * 256, "n" * 257]), st.text(max_size=4))
value = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
property_name = st.text(max_size=2) | st.sampled_from(["email", "eMail", "EMAIL", "emails", "ß", "SS", "id"])
denied = st.sets(st.sampled_from(["email", "ss", "id", "never"])).map(frozenset)


@st.composite
def line(draw: st.DrawFn) -> bytes:
    """Mostly an event that counts, so that whole records of them are not rare."""
    plain = draw(st.integers(0, 9)) > 0
    event: dict[str, Any] = {
        "id": draw(st.text("abc", min_size=1, max_size=5) if plain else name),
        "tenant_id": draw(st.sampled_from(["t1", "t2", "t3", "t4"]) if plain else name),
        "metric": draw(st.sampled_from(["a", "b", "c", "a", "b", "of_t1"]) if plain else name),
        "quantity": draw(st.sampled_from(["1", "12.50", "0.000000001", 7, 2.5]) if plain else quantity | value),
        "timestamp": draw(
            st.sampled_from([instant(NOW).isoformat(), "2026-11-18T12:00:00.1239+02:00", "2026-11-10T00:00:00Z"])
            if plain
            else time
        ),
    }
    for field in draw(st.sets(st.sampled_from(["subject", "source", "properties", "more"]), max_size=2)):
        event[field] = draw(st.sampled_from(["s", None]) if plain and field != "properties" else value)
        if field == "properties":
            event[field] = draw(st.dictionaries(property_name, value, max_size=3) | (st.none() if plain else value))
    if not plain and draw(st.booleans()):
        event.pop(draw(st.sampled_from(sorted(event))))
    text = json.dumps(event, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        text = text.replace('"em', draw(st.sampled_from(['"\\u0065m', '"e\\u006D'])))
    if draw(st.integers(0, 30)) == 0:
        text = draw(st.sampled_from([text[:-1], text + text, "", "  ", text + "\r", "[]", text.replace(", ", ",\n")]))
    return text.encode("utf-8", "surrogatepass")


def _line_by_line(
    record: SourceRecord, partition: int, tenants: Set[str] | None = None, names: Set[str] = frozenset()
) -> Verdicts:
    verdicts = Verdicts()
    Judge("usage.events", partition, PARTITIONS, names).judge(record, 5, BOUNDS, METRICS, verdicts, tenants)
    return verdicts


listed = st.one_of(
    st.none(),
    st.sets(st.sampled_from(["t1", "t2", "t3", "t4", "x", "y", ""])).map(dict.fromkeys).map(dict.keys),
    st.just(dict.fromkeys(["t1", "t2", "t3", "t4"]).keys()),
)


@given(
    st.lists(line(), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
    st.integers(0, PARTITIONS - 1),
    st.tuples(listed, listed),
    denied,
)
@settings(deadline=None, max_examples=few(600))
def test_a_record_judged_at_once_has_the_verdicts_of_its_lines(
    lines: list[bytes],
    newline: bool,
    hopped: bool,
    partition: int,
    catalogs: tuple[Set[str] | None, Set[str] | None],
    names: Set[str],
) -> None:
    record = SourceRecord(3, b"\n".join(lines) + b"\n" * newline, NOW + 7, NOW, hopped)
    judge = PlainJudge(partition, PARTITIONS, names)
    for tenants in (*catalogs, *catalogs):  # it remembers tenants, and none longer than the catalog
        at_once = judge.judge(record, BOUNDS, METRICS, tenants)
        if at_once is None:
            continue
        expected = _line_by_line(record, partition, tenants, names)
        assert not expected.rejects
        assert not expected.forwards
        assert msgspec.json.encode(at_once[0]) == msgspec.json.encode(expected.candidates)
        assert list(at_once[1]) == expected.quantities
        assert len(at_once[0]) == expected.lines


@given(
    st.lists(line(), min_size=1, max_size=6), st.integers(0, PARTITIONS - 1), denied.filter(len), st.integers(0, 999)
)
@settings(deadline=None, max_examples=few(600))
def test_denied_properties_are_gone_and_nothing_else_of_any_verdict(
    lines: list[bytes], partition: int, names: Set[str], offset: int
) -> None:
    record = SourceRecord(offset, b"\n".join(lines), NOW + 7, NOW, hopped=False)
    whole, found = _line_by_line(record, partition), _line_by_line(record, partition, names=names)
    at_once = PlainJudge(partition, PARTITIONS).judge(record, BOUNDS, METRICS)
    assert (at_once is None) == (PlainJudge(partition, PARTITIONS, names).judge(record, BOUNDS, METRICS) is None)
    for event in whole.candidates:
        left = {key: text for key, text in (event.properties or {}).items() if _folded(key) not in names}
        event.properties = left or None
    assert found.candidates == whole.candidates
    assert (found.quantities, found.appended, found.lines) == (whole.quantities, whole.appended, whole.lines)
    assert found.forwards == whole.forwards
    assert [msgspec.structs.replace(each, raw="", raw_encoding="") for each in found.rejects] == [
        msgspec.structs.replace(each, raw="", raw_encoding="") for each in whole.rejects
    ]


@given(st.lists(st.dictionaries(property_name, value, max_size=3), min_size=1, max_size=4), denied, st.booleans())
@settings(deadline=None, max_examples=few(200))
def test_plain_records_lose_the_same_properties_at_once_as_line_by_line(
    given: list[dict[str, Any]], names: Set[str], escaped: bool
) -> None:
    lines = "\n".join(json.dumps(PLAIN | {"properties": properties}) for properties in given)
    text = lines.replace('"em', '"\\u0065m') if escaped else lines
    record = SourceRecord(0, text.encode("utf-8", "surrogatepass"), NOW, NOW, hopped=False)
    at_once, by_line = PlainJudge(0, 1, names).judge(record, BOUNDS, METRICS), Verdicts()
    Judge("usage.events", 0, 1, names).judge(record, 5, BOUNDS, METRICS, by_line)
    assert (at_once is None) == bool(by_line.rejects)
    if at_once is not None:
        assert at_once[0] == by_line.candidates
        assert not any(_folded(key) in names for event in at_once[0] for key in event.properties or {})


def _folded(name: str) -> str:
    """Without case, by hand: of the names that are drawn here."""
    return "ss" if name == "ß" else name.lower()


PLAIN = {"id": "1", "tenant_id": "t", "metric": "b", "quantity": "1.50", "timestamp": instant(NOW).isoformat()}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"quantity": 3},
        {"quantity": 0.25},
        {"quantity": "-3", "metric": "a"},
        {"subject": "s", "source": "o"},
        {"properties": {"a": 1}},
        {"timestamp": "2026-11-18T12:00:00.1239+02:00"},
        {"timestamp": instant(NOW - 20 * 86_400_000).isoformat()},
    ],
)
@pytest.mark.parametrize("tenants", [None, {"t": None, "other": None}.keys()], ids=["all", "listed"])
def test_what_counts_is_judged_at_once(changed: dict[str, Any], tenants: Set[str] | None) -> None:
    """Else the shortcut is none, and nobody sees it but by the time that it takes."""
    value = json.dumps(PLAIN | changed).encode()
    record = SourceRecord(0, b"\n".join([value] * 3), NOW, NOW, hopped=False)
    found = PlainJudge(0, 1).judge(record, BOUNDS, METRICS, tenants)
    assert found is not None
    assert msgspec.json.encode(found[0]) == msgspec.json.encode(_line_by_line_at_home(record).candidates)


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": True},
        {"quantity": None},
        {"quantity": []},
        {"quantity": "-1"},
        {"metric": "d"},
        {"metric": "of_t1"},
        {"id": "\x01"},
    ],
)
def test_what_is_rejected_is_not_judged_at_once(changed: dict[str, Any]) -> None:
    value = json.dumps(PLAIN | changed).encode()
    record = SourceRecord(0, value, NOW, NOW, hopped=False)
    assert PlainJudge(0, 1).judge(record, BOUNDS, METRICS) is None


@pytest.mark.parametrize(("tenant", "counts"), [("t1", True), ("t2", False)])
def test_a_metric_of_one_tenant_takes_no_events_of_others(tenant: str, counts: bool) -> None:
    value = json.dumps(PLAIN | {"metric": "of_t1", "tenant_id": tenant}).encode()
    verdicts = _line_by_line_at_home(SourceRecord(0, value, NOW, NOW, hopped=False))
    assert len(verdicts.candidates) == counts
    assert [reject.reason for reject in verdicts.rejects] == ([] if counts else ["unknown_metric"])


def test_a_record_of_too_many_lines_is_not_judged_at_once() -> None:
    value = json.dumps(PLAIN).encode()
    record = SourceRecord(0, b"\n".join([b"{}"] * MAX_LINES_PER_RECORD + [value]), NOW, NOW, hopped=False)
    assert PlainJudge(0, 1).judge(record, BOUNDS, METRICS) is None


def _line_by_line_at_home(record: SourceRecord) -> Verdicts:
    verdicts = Verdicts()
    Judge("usage.events", 0, 1).judge(record, 5, BOUNDS, METRICS, verdicts)
    return verdicts


def test_a_time_that_decoding_rounds_into_the_next_day_is_not_judged_at_once() -> None:
    first = json.dumps(PLAIN | {"timestamp": f"{instant(NOW):%Y-%m-%dT%H:%M:%S}.9999999Z"}).encode()
    record = SourceRecord(0, b"\n".join([first, json.dumps(PLAIN).encode()]), NOW, NOW, hopped=False)
    assert PlainJudge(0, 1).judge(record, BOUNDS, METRICS) is None
    found = _line_by_line_at_home(record).candidates[0].timestamp
    assert (found.second, found.microsecond) == (instant(NOW).second, 999_000)
