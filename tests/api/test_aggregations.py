"""Every aggregation over a real ClickHouse equals an independent count of the events, however they were written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterline_api.clickhouse import ClickHouse
from meterline_api.usage.query import Dimension, Numbers, UsageQuery, Window, read_cursor, write_cursor
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse as Tables
from tests.api.oracle import HOUR, Reading, distinct, expected, totals, utc
from tests.support.examples import few
from tests.support.late import insert_events

METRICS = {
    f"m_{aggregation}": Metric(
        key=f"m_{aggregation}",
        aggregation=aggregation,
        unique_by="color" if aggregation is Aggregation.UNIQUE_COUNT else "",
    )
    for aggregation in Aggregation
} | {"who": Metric(key="who", aggregation=Aggregation.UNIQUE_COUNT, unique_by="subject")}

START = utc(2026, 10, 30, 22)
END = START + timedelta(hours=29)  # the rest of a day, a day that ends its month, and hours of the next
LARGEST = Decimal("999999999999999999.999999999")

EDGES = [START, END, START - timedelta(milliseconds=1), START + timedelta(hours=2), utc(2026, 10, 31), utc(2026, 11, 1)]
moments = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from(EDGES[3:]).map(lambda at: at + timedelta(minutes=5)),  # several at one instant
    st.integers(-72 * 60, -1).map(lambda minutes: START + timedelta(minutes=minutes)),
    st.integers(0, 31 * 60).map(lambda minutes: START + timedelta(minutes=minutes)),
    st.integers(0, 40_000).map(lambda ms: START + timedelta(milliseconds=ms)),
)
quantities = st.one_of(
    st.decimals(-(10**6), 10**6, places=9), st.integers(-5, 5).map(Decimal), st.sampled_from([LARGEST, -LARGEST])
)


OLD = (Window.HOUR, Window.DAY, Window.MONTH)
FAMILIES = {
    "folded": [f"m_{kind}" for kind in ("count", "sum", "min", "max", "last")],
    "average": ["m_avg"],
    "percentile": [f"m_{kind}" for kind in Aggregation if kind.percentile],
    "distinct": ["who", "m_unique_count"],
    "gauge": ["m_time_weighted"],
    "all": sorted(METRICS),
}


def lines(metrics: list[str]) -> st.SearchStrategy[Reading]:
    return st.builds(
        Reading,
        tenant_id=st.sampled_from(["acme", "b'c\\"]),
        metric=st.sampled_from(metrics),
        timestamp=moments,
        id=st.sampled_from(["a", "B", "é", "z1", "z2", "z3"]),
        quantity=quantities,
        subject=st.sampled_from(["", "user:1", "project:2"]),
        source=st.sampled_from(["", "shop"]),
        color=st.sampled_from([None, "", "red", "blue"]),
        late=st.booleans(),
    )


@st.composite
def stories(draw: st.DrawFn, metrics: list[str]) -> list[Reading]:
    """Accepted lines as the stream may write them: of one event only the first can be on time."""
    made: list[Reading] = []
    seen: set[tuple[object, ...]] = set()
    least = draw(st.sampled_from([0, 5, 40, 40]))  # without it lists are short, and numbers of few events all alike
    for offset, line in enumerate(draw(st.lists(lines(metrics), min_size=least, max_size=60))):
        key = (line.tenant_id, line.metric, line.timestamp, line.id)
        late = line.late or key in seen
        seen.add(key)
        made.append(Reading(**{**line.__dict__, "late": late, "offset": offset}))
    return made


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    return module_database


@pytest.fixture(scope="module")
def tables(database: ClickHouseSettings) -> Iterator[Tables]:
    edge = Tables(database, database.database)
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def api(database: ClickHouseSettings, tables: Tables) -> Iterator[ClickHouse]:
    edge = ClickHouse(database, 30)
    yield edge
    edge.close()


def write(tables: Tables, batches: list[list[Reading]], folded: list[list[bytes]]) -> None:
    """The tables hold these rows and no others, written in this order."""
    for name in ("usage_events_raw", "usage_late_totals", "usage_totals"):
        tables.command(f"TRUNCATE TABLE {name}")
    for batch in batches:
        if batch:
            insert_events(tables, b"\n".join(line.line() for line in batch))
    for piece in folded:
        if piece:
            tables.insert("usage_totals", b"\n".join(piece))


def at_once(tables: Tables, story: list[Reading]) -> None:
    write(tables, [story], [totals(story)])


def ask(api: ClickHouse, query: UsageQuery, now: datetime, metrics: dict[str, Metric] = METRICS) -> list[Any]:
    """Rows as they come: the key, then count and value."""
    width = len(query.key) + 1
    found = []
    for row in api.rows_now(*build(query, metrics, now)):
        numbers = Numbers(*row[width:])
        first = datetime.fromtimestamp(row[0], UTC)
        found.append((tuple(row[:width]), first, (numbers.count, numbers.value(metrics[row[1]].aggregation))))
    return found


def check(api: ClickHouse, query: UsageQuery, events: list[Reading], now: datetime) -> None:
    """The answer is the oracle's; each row is there once, in order."""
    rows = ask(api, query, now)
    assert [key for key, _first, _answer in rows] == sorted({key for key, _first, _answer in rows})
    names = tuple(name for name in query.key if name != Dimension.METRIC)
    chosen = [
        event
        for event in events
        if (query.tenants is None or event.tenant_id in query.tenants) and query.subject in (None, event.subject)
    ]
    metrics = {key: metric for key, metric in METRICS.items() if query.metric in (None, key)}
    wanted = expected(chosen, metrics, names, query.window, query.start, query.end, now)
    assert {(first, *key[1:]): answer for key, first, answer in rows} == wanted


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=few(5), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_aggregation_equals_the_events_under_split_order_and_repetition(
    api: ClickHouse, tables: Tables, family: str, data: st.DataObject
) -> None:
    story = data.draw(stories(FAMILIES[family]))
    events = distinct(story)
    shuffled = data.draw(st.permutations(story))
    cut = data.draw(st.integers(0, len(story)))
    folded = totals(story)
    write(tables, [story[:cut], story[cut:], shuffled, shuffled[: cut // 2]], [folded, folded[:3]])
    now = data.draw(st.sampled_from([END + HOUR, START + timedelta(hours=5, milliseconds=7), START, START - HOUR]))
    for window in data.draw(st.sampled_from([(None, Window.HOUR), (Window.DAY, Window.MONTH)])):
        query = UsageQuery(
            START,
            END,
            window,
            tenants=data.draw(st.sampled_from([None, ("acme",), ("b'c\\",)])),
            metric=data.draw(st.sampled_from([None, None, None, *sorted({event.metric for event in events})])),
            subject=data.draw(st.sampled_from([None, None, "", "user:1"])),
            group_by=tuple(data.draw(st.sets(st.sampled_from(Dimension)))),
            limit=10_000,
        )
        check(api, query, events, now)


@settings(max_examples=few(3), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(FAMILIES["all"]), limit=st.integers(1, 9), window=st.sampled_from([None, *OLD]))
def test_pages_over_all_aggregations_hold_every_row_once_and_in_order(
    api: ClickHouse, tables: Tables, story: list[Reading], limit: int, window: Window | None
) -> None:
    at_once(tables, story)
    query = UsageQuery(START, END, window, group_by=(Dimension.TENANT_ID,), limit=10_000)
    whole = ask(api, query, END)
    pages: list[Any] = []
    page = UsageQuery(START, END, window, group_by=(Dimension.TENANT_ID,), limit=limit)
    while True:
        rows = ask(api, page, END)
        pages += rows[:limit]
        if len(rows) <= limit:
            break
        after = read_cursor(write_cursor(rows[limit - 1][0]), page)
        page = UsageQuery(START, END, window, group_by=(Dimension.TENANT_ID,), limit=limit, after=after)
    assert pages == whole


def reading(minutes: float, quantity: str, id: str = "a", **more: Any) -> Reading:
    return Reading(
        "acme", "m_time_weighted", START + timedelta(minutes=minutes), id, Decimal(quantity), **{"late": True, **more}
    )


def values(api: ClickHouse, query: UsageQuery, now: datetime) -> list[tuple[str, int, str]]:
    return [(first.strftime("%d %H:%M"), *answer) for _key, first, answer in ask(api, query, now)]


def test_a_reading_of_a_gauge_holds_into_the_windows_that_follow_it(api: ClickHouse, tables: Tables) -> None:
    at_once(tables, [reading(-60 * 24 * 30, "9"), reading(-60 * 24 * 20, "2"), reading(90, "5"), reading(90, "6", "b")])
    query = UsageQuery(START, END, Window.HOUR, metric="m_time_weighted")
    now = START + timedelta(hours=3, minutes=30)
    assert values(api, query, now) == [
        ("30 22:00", 0, "2"),
        ("30 23:00", 2, "4"),  # half an hour of 2, half an hour of 6: of two at one instant the greater id stands
        ("31 00:00", 0, "6"),
        ("31 01:00", 0, "3"),
    ]
    whole = UsageQuery(START, END, metric="m_time_weighted")
    assert values(api, whole, now) == [("30 22:00", 2, "15")]
    assert values(api, whole, START) == []


def test_a_reading_that_another_replaces_at_the_start_of_the_range_has_no_row(api: ClickHouse, tables: Tables) -> None:
    at_once(tables, [reading(-60, "9", source="shop"), reading(0, "5", "b")])
    query = UsageQuery(START, START + HOUR, group_by=(Dimension.SOURCE,), metric="m_time_weighted")
    assert [(key[-1], answer) for key, _first, answer in ask(api, query, END)] == [("", (1, "5"))]


def test_a_sum_of_gauges_is_rounded_once(api: ClickHouse, tables: Tables) -> None:
    tiny = [reading(-60, "0.000000001", f"{n}", subject=f"user:{n}") for n in range(3)]
    at_once(tables, tiny)
    # three times 10^-9 for twenty minutes: each alone would be rounded to nothing
    query = UsageQuery(START, START + HOUR, metric="m_time_weighted")
    assert values(api, query, START + timedelta(minutes=20)) == [("30 22:00", 0, "0.000000001")]


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (19, 19), (20, 19), (21, 20), (100, 95), (101, 96)])
def test_a_percentile_is_the_nearest_rank(api: ClickHouse, tables: Tables, count: int, rank: int) -> None:
    at_once(tables, [Reading("acme", "m_p95", START, f"{n}", Decimal(n), offset=n) for n in range(1, count + 1)])
    assert values(api, UsageQuery(START, END, metric="m_p95"), END) == [("30 22:00", count, str(rank))]


def test_an_average_is_rounded_half_to_even_at_the_ninth_decimal(api: ClickHouse, tables: Tables) -> None:
    for odd, shown in (("0.000000001", "0"), ("0.000000003", "0.000000002"), ("-0.000000001", "0")):
        at_once(tables, [Reading("acme", "m_avg", START, f"{n}", Decimal(odd) * n) for n in range(2)])
        assert values(api, UsageQuery(START, END, metric="m_avg"), END) == [("30 22:00", 2, shown)]


def test_the_same_value_of_two_tenants_is_two_where_they_are_taken_together(api: ClickHouse, tables: Tables) -> None:
    at_once(tables, [Reading(t, "m_unique_count", START, "a", Decimal(1), color="red") for t in ("x", "y")])
    assert values(api, UsageQuery(START, END), END) == [("30 22:00", 2, "2")]
