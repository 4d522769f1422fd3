"""Windows of time zones over a real ClickHouse, against a recount by the clocks of the zones themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterline_api.clickhouse import ClickHouse
from meterline_api.usage.parts import PartsError, parts_of
from meterline_api.usage.query import UsageQuery, Window, change_percent, read_cursor
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Book, Metric, Tenant
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse as Tables
from tests.api.oracle import Reading, distinct, expected, fold, plain, totals
from tests.api.recount import ask, rows, utc, windows
from tests.support.examples import few
from tests.support.late import insert_events

KINDS = ("count", "sum", "avg", "max", "last", "p95", "unique_count", "time_weighted")
METRICS = {
    kind: Metric(key=kind, aggregation=Aggregation(kind), unique_by="color" if kind == "unique_count" else "")
    for kind in KINDS
}
# where the clocks of the zones leap, and Kolkata's never do
EDGES = {
    "America/New_York": ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    "Europe/Vienna": ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    "Australia/Lord_Howe": ("2026-04-04T15:00Z", "2026-10-03T15:30Z"),
    "Asia/Kolkata": ("2026-03-31T18:30Z", "2026-10-31T18:30Z"),
}
OFFSETS = ("EU", None, "", "äß", "=")
NOW = utc("2026-11-20T00:00Z")


def readings() -> list[Reading]:
    """Lines around every leap, more of them near, some within seconds of it."""
    chance = random.Random(11)
    made: list[Reading] = []
    for leap in {utc(text) for texts in EDGES.values() for text in texts}:
        for _ in range(200):
            away = chance.choice([timedelta(days=3), timedelta(hours=5), timedelta(seconds=3)])
            made.append(
                Reading(
                    chance.choice(["acme", "b'c\\", "core"]),
                    chance.choice(KINDS),
                    leap + away * chance.uniform(-1, 1) // timedelta(milliseconds=1) * timedelta(milliseconds=1)
                    if chance.random() < 0.95
                    else leap,
                    f"{len(made)}",
                    Decimal(chance.randrange(-(10**6), 10**9)) / 1000,
                    subject=chance.choice(["", "user:1", "user:2"]),
                    source=chance.choice(["", "shop"]),
                    color=chance.choice(OFFSETS),
                    late=chance.random() < 0.1,
                    offset=len(made),
                )
            )
    return made


LINES = [
    replace(line, timestamp=line.timestamp.replace(microsecond=line.timestamp.microsecond // 1000 * 1000))
    for line in readings()
]
EVENTS = distinct(LINES)


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    tables = Tables(module_database, module_database.database)
    insert_events(tables, b"\n".join(line.line() for line in LINES))
    tables.insert("usage_totals", b"\n".join(totals(EVENTS)))
    tables.close()
    return module_database


@pytest.fixture(scope="module")
def api(database: ClickHouseSettings) -> Iterator[ClickHouse]:
    edge = ClickHouse(database, 30)
    yield edge
    edge.close()


def uses_events(query: UsageQuery) -> bool:
    return " usage_parts " not in build(replace(query, metric="sum"), METRICS, NOW)[0]


def recounted(query: UsageQuery, names: tuple[str, ...] = ()) -> dict[tuple[Any, ...], tuple[int, str]]:
    bounds = None
    if query.window is not None:
        bounds = windows(query.window.value, query.zone or "UTC", query.start, query.end)
    return expected(EVENTS, METRICS, names, None, query.start, query.end, NOW, bounds)


@pytest.mark.parametrize("window", [None, Window.HOUR, Window.DAY, Window.WEEK, Window.MONTH])
@pytest.mark.parametrize(("zone", "leap"), [(zone, leap) for zone, leaps in EDGES.items() for leap in leaps])
def test_windows_over_a_leap_of_the_clocks_equal_a_recount(
    api: ClickHouse, zone: str, leap: str, window: Window | None
) -> None:
    hour = utc(leap).replace(minute=0)
    query = UsageQuery(hour - timedelta(hours=29), hour + timedelta(hours=40), window, zone=zone, limit=10_000)
    found = ask(api, query, METRICS, NOW)
    assert rows(found) == recounted(query)
    assert "next_cursor" not in found.model_fields_set
    parts = windows(window.value, zone, query.start, query.end) if window else [(query.start, query.end)]
    assert {(row.start, row.end) for row in found.data} <= set(parts)
    uneven = any(start.minute or end.minute for start, end in parts)
    assert uses_events(query) == uneven


def test_zones_of_whole_hours_are_answered_from_totals_and_others_from_events() -> None:
    summer, winter = utc("2026-01-05T00:00Z"), utc("2026-07-05T00:00Z")

    def days(zone: str, start: datetime) -> bool:
        return uses_events(UsageQuery(start, start + timedelta(days=9), Window.DAY, zone=zone))

    assert not days("UTC", summer)
    assert not days("America/New_York", summer)
    assert days("Asia/Kolkata", summer)
    # eleven hours from UTC in its summer, ten and a half in its winter
    assert not days("Australia/Lord_Howe", summer)
    assert days("Australia/Lord_Howe", winter)


@pytest.mark.parametrize("window", [None, Window.HOUR, Window.DAY, Window.MONTH])
def test_a_range_of_whole_minutes_is_counted_from_events(api: ClickHouse, window: Window | None) -> None:
    start = utc("2026-10-31T17:47Z")
    query = UsageQuery(start, start + timedelta(hours=3, minutes=1), window, zone="Asia/Kolkata", limit=10_000)
    assert uses_events(query)
    assert rows(ask(api, query, METRICS, NOW)) == recounted(query)


def test_windows_of_a_minute(api: ClickHouse) -> None:
    start = utc("2026-10-31T18:28Z")
    query = UsageQuery(start, start + timedelta(minutes=5), Window.MINUTE, limit=10_000)
    bounds = [(start + timedelta(minutes=n), start + timedelta(minutes=n + 1)) for n in range(5)]
    found = rows(ask(api, query, METRICS, NOW))
    assert found == expected(EVENTS, METRICS, (), None, query.start, query.end, NOW, bounds)
    assert len({start for start, *_key in found}) == 5


def test_properties_tell_rows_apart_and_nothing_is_not_the_empty_text(api: ClickHouse) -> None:
    query = UsageQuery(
        utc("2026-03-01T00:00Z"), utc("2026-11-10T00:00Z"), Window.MONTH,
        group_by=("properties.color", "tenant_id", "properties.none"), limit=10_000,
    )  # fmt: skip
    found = rows(ask(api, query, METRICS, NOW), "tenant_id", "properties.color", "properties.none")
    assert {key[-1] for key in found} == {None}
    assert {key[-2] for key in found} == set(OFFSETS)
    assert {key[:-1]: row for key, row in found.items()} == recounted(query, ("tenant_id", "color"))


BOOK = Book()
ANCHORS = {"acme": ("America/New_York", 31), "core": ("UTC", 5)}
for tenant_id, (zone, anchor) in ANCHORS.items():
    tenant = Tenant(id=tenant_id, time_zone=zone, billing_anchor=anchor)
    BOOK.apply(tenant.record_key, tenant.encode())
PERIODS = {
    "acme": ["2026-02-28T05:00Z", "2026-03-31T04:00Z", "2026-04-30T04:00Z", "2026-05-31T04:00Z"],
    "core": ["2026-02-05T00:00Z", "2026-03-05T00:00Z", "2026-04-05T00:00Z", "2026-05-05T00:00Z"],
    "b'c\\": ["2026-03-01T00:00Z", "2026-04-01T00:00Z", "2026-05-01T00:00Z"],
}


@pytest.mark.parametrize("tenants", [None, ("acme",), ("core",), ("acme", "core", "b'c\\")])
def test_billing_periods_are_those_of_each_tenant(api: ClickHouse, tenants: tuple[str, ...] | None) -> None:
    start, end = utc("2026-03-01T00:00Z"), utc("2026-05-01T00:00Z")
    query = UsageQuery(
        start, end, Window.BILLING, tenants, group_by=() if tenants and len(tenants) == 1 else ("tenant_id",), limit=999
    )
    names = tuple(query.group_by)
    wanted: dict[tuple[Any, ...], tuple[int, str]] = {}
    for tenant_id in tenants or PERIODS:
        edges = [start, *(edge for edge in map(utc, PERIODS[tenant_id]) if start < edge < end), end]
        mine = [event for event in EVENTS if event.tenant_id == tenant_id]
        wanted |= expected(mine, METRICS, names, None, start, end, NOW, list(pairwise(edges)))
    assert rows(ask(api, query, METRICS, NOW, BOOK), *names) == wanted
    whole: list[Any] = []
    page = replace(query, limit=7)
    while True:
        found = ask(api, page, METRICS, NOW, BOOK)
        whole += found.data
        if found.next_cursor is None:
            break
        page = replace(page, after=read_cursor(found.next_cursor, page))
    assert whole == ask(api, query, METRICS, NOW, BOOK).data


@pytest.mark.parametrize("tenants", [None, ("acme", "core"), ()])
def test_billing_periods_of_several_tenants_are_not_taken_together(tenants: tuple[str, ...] | None) -> None:
    with pytest.raises(PartsError, match="name one with tenant_id, or group by tenant_id"):
        parts_of(UsageQuery(NOW - timedelta(days=1), NOW, Window.BILLING, tenants), BOOK)


@pytest.mark.parametrize(
    ("window", "zone", "start", "end", "before"),
    [
        (Window.MONTH, "UTC", "2026-04-01T00:00Z", "2026-11-15T00:00Z", "2026-03-01T00:00Z"),
        (Window.MONTH, "Europe/Vienna", "2026-03-31T22:00Z", "2026-11-10T23:00Z", "2026-02-28T23:00Z"),
        (Window.DAY, "Europe/Vienna", "2026-10-24T22:00Z", "2026-10-27T23:00Z", "2026-10-23T22:00Z"),
        (Window.DAY, "Asia/Kolkata", "2026-10-30T18:30Z", "2026-11-01T18:30Z", "2026-10-29T18:30Z"),
        (Window.WEEK, "America/New_York", "2026-10-26T04:00Z", "2026-11-09T05:00Z", "2026-10-19T04:00Z"),
        (Window.HOUR, "UTC", "2026-10-25T00:00Z", "2026-10-25T05:00Z", "2026-10-24T23:00Z"),
        (None, "UTC", "2026-10-25T00:00Z", "2026-10-27T00:00Z", "2026-10-23T00:00Z"),
    ],
)
def test_the_previous_window_stands_beside_each(
    api: ClickHouse, window: Window | None, zone: str, start: str, end: str, before: str
) -> None:
    query = UsageQuery(utc(start), utc(end), window, zone=zone, group_by=("tenant_id",), compare=True, limit=10_000)
    bounds = windows(window.value, zone, utc(before), utc(end)) if window else [
        (utc(before), utc(start)), (utc(start), utc(end))
    ]  # fmt: skip
    known = expected(EVENTS, METRICS, ("tenant_id",), None, query.start, query.end, NOW, bounds)
    wanted = {}
    for old, new in pairwise(bounds):
        for metric, tenant_id in {key[1:] for key in known if key[0] in (old[0], new[0])}:
            count, value = known.get((new[0], metric, tenant_id), (0, "0"))
            old_count, old_value = known.get((old[0], metric, tenant_id), (0, "0"))
            percent = change_percent(value, old_value)
            wanted[new[0], metric, tenant_id] = (count, value, old, old_count, old_value, percent)
    found = ask(api, query, METRICS, NOW)
    given = {}
    for row in found.data:
        assert row.previous is not None
        last = row.previous
        given[row.start, row.metric, row.tenant_id] = (
            row.count, row.value, (last.start, last.end), last.count, last.value, row.change_percent,
        )  # fmt: skip
    assert given == wanted
    assert any(old for *_row, old, _value, _percent in given.values())
    pages: list[Any] = []
    page = replace(query, limit=len(found.data) // 3 + 1)
    while True:
        piece = ask(api, page, METRICS, NOW)
        pages += piece.data
        if piece.next_cursor is None:
            break
        page = replace(page, after=read_cursor(piece.next_cursor, page))
    assert pages == found.data


def test_a_window_that_the_range_cuts_has_the_whole_one_before_it(api: ClickHouse) -> None:
    query = UsageQuery(
        utc("2026-11-01T00:00Z"), utc("2026-11-02T05:00Z"), Window.MONTH, compare=True, metric="sum", limit=10
    )
    (row,) = ask(api, query, METRICS, NOW).data
    assert row.previous is not None
    assert (row.previous.start, row.previous.end) == (utc("2026-10-01T00:00Z"), utc("2026-11-01T00:00Z"))


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("window", [None, Window.MONTH])
def test_the_top_rows_are_those_of_the_greatest_values(api: ClickHouse, window: Window | None, least: bool) -> None:
    query = UsageQuery(
        utc("2026-03-01T00:00Z"), utc("2026-11-10T00:00Z"), window, group_by=("subject", "properties.color"),
        limit=10_000, top=3, least=least, other=True,
    )  # fmt: skip
    everything = expected(
        EVENTS, METRICS, ("subject", "color"), "month" if window else None, query.start, query.end, NOW
    )
    wanted: list[tuple[Any, ...]] = []
    for start, metric in sorted({key[:2] for key in everything}):
        mine = [(key[2:], row) for key, row in everything.items() if key[:2] == (start, metric)]
        if metric == "avg":  # told apart beyond the ninth decimal
            exact = {key: _average(key, start, window) for key, _row in mine}
        else:
            exact = {key: Fraction(row[1]) for key, row in mine}
        mine.sort(key=lambda one: (exact[one[0]] * (1 if least else -1), one[0][0], one[0][1] is not None, one[0][1]))
        wanted += [(start, metric, key, row, None) for key, row in mine[:3]]
        rest = mine[3:]
        if rest and metric in ("count", "sum"):
            value = plain(sum((Fraction(row[1]) for _key, row in rest), Fraction(0)))
            wanted.append((start, metric, None, (sum(row[0] for _key, row in rest), value), True))
    found = [
        (
            row.start, row.metric, None if row.other else (row.subject, (row.properties or {})["color"]),
            (row.count, row.value), row.other,
        )
        for row in ask(api, query, METRICS, NOW).data
    ]  # fmt: skip
    assert found == wanted


def _average(key: tuple[Any, ...], start: datetime, window: Window | None) -> Fraction:
    month = [event for event in EVENTS if not window or event.timestamp.month == start.month]
    return fold([e for e in month if (e.metric, e.subject, e.color) == ("avg", *key)], METRICS["avg"])


groupings = st.lists(
    st.sampled_from(["tenant_id", "subject", "source", "properties.color", "properties.none"]), max_size=3, unique=True
)


@settings(max_examples=few(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=groupings,
    window=st.sampled_from([None, Window.DAY, Window.WEEK, Window.MONTH]),
    zone=st.sampled_from([*EDGES, None]),
    limit=st.integers(1, 40),
    compare=st.booleans(),
    hours=st.integers(1, 400),
)
def test_pages_hold_every_row_once_and_in_order(
    api: ClickHouse, names: list[str], window: Window | None, zone: str | None, limit: int, compare: bool, hours: int
) -> None:
    start = utc("2026-10-24T09:00Z")
    query = UsageQuery(
        start, start + timedelta(hours=hours), window, zone=zone, group_by=tuple(names), compare=compare, limit=10_000
    )
    whole = ask(api, query, METRICS, NOW).data
    pages: list[Any] = []
    page = replace(query, limit=max(limit, len(whole) // 4))
    while True:
        found = ask(api, page, METRICS, NOW)
        pages += found.data
        if found.next_cursor is None:
            break
        page = replace(page, after=read_cursor(found.next_cursor, page))
    assert pages == whole
