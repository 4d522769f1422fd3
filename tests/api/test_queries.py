"""Requests as SQL: values are parameters, cursors are checked, windows are cut to the range."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.usage import filters
from meterline_api.usage.answer import answer
from meterline_api.usage.filters import All, Filter, read_filter
from meterline_api.usage.parts import parts_of
from meterline_api.usage.query import (
    CursorError,
    Dimension,
    Numbers,
    UsageQuery,
    Window,
    change_percent,
    property_of,
    read_cursor,
    write_cursor,
)
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Book, Metric

START, END = datetime(2026, 1, 30, 5, tzinfo=UTC), datetime(2026, 3, 2, 7, tzinfo=UTC)
NOW = datetime(2026, 2, 14, 3, 2, 1, tzinfo=UTC)
names = st.text(min_size=1, max_size=20)
queries = st.builds(
    UsageQuery,
    st.just(START),
    st.just(END),
    window=st.none() | st.sampled_from([window for window in Window if window is not Window.BILLING]),
    tenants=st.none() | st.lists(names, max_size=3).map(tuple),
    metric=st.none() | names,
    subject=st.none() | names,
    group_by=st.lists(st.sampled_from(Dimension) | names.map("properties.{}".format), max_size=4).map(tuple),
    limit=st.integers(1, 10_000),
    zone=st.sampled_from([None, "Europe/Vienna", "Asia/Kolkata"]),
    filter=st.none() | names.map(lambda name: read_filter({f"properties.{name}": {"in": [name, "1"], "gt": name}})),
    compare=st.booleans(),
)


def renamed_filter(found: Filter) -> Filter:
    """The same filter about other values."""
    if isinstance(found, filters.Test):
        field = "properties.x" if "." in found.field else found.field
        return filters.Test(field, found.operator, ("y",) if found.operator == "in" else type(found.value)("3"))
    assert isinstance(found, All)
    return All(tuple(map(renamed_filter, found.of)))


kinds = st.sampled_from(["sum", "avg", "unique_count", "p50", "p99", "time_weighted"]).map(Aggregation)


def defined(kind: Aggregation, key: str, by: str) -> Metric:
    """A definition with any key, as none that is checked could have."""
    return Metric.model_construct(key=key, aggregation=kind, unique_by=by)


@given(queries, st.lists(st.tuples(kinds, names, names), max_size=5), st.data())
def test_no_value_becomes_part_of_a_statement(
    query: UsageQuery, definitions: list[tuple[Aggregation, str, str]], data: st.DataObject
) -> None:
    after: tuple[int | str, ...] = (1, *(data.draw(names) for _ in query.key))
    own = [(kind, query.metric or key, by) for kind, key, by in definitions]
    metrics = {key: defined(kind, key, by) for kind, key, by in own}
    kept = [(kind, key, by) for kind, key, by in own if metrics[key].aggregation is kind]
    sql, parameters = build(replace(query, after=after), metrics, NOW)
    query = replace(query, group_by=tuple(dict.fromkeys(query.group_by)))
    other = replace(
        query,
        after=(2, *("x" for _ in query.key)),
        tenants=None if query.tenants is None else ("x",),
        group_by=tuple(f"properties.x{n}" if "." in name else name for n, name in enumerate(query.group_by)),
        filter=query.filter and renamed_filter(query.filter),
        metric=query.metric and "x",
        subject=query.subject and "x",
        limit=5,
    )
    renamed = {f"{n}" if query.metric is None else "x": (kind, by) for n, (kind, _key, by) in enumerate(kept)}
    same, _ = build(other, {key: defined(kind, key, "y") for key, (kind, _by) in renamed.items()}, NOW)
    assert sql == same
    assert set(re.findall(r"\{(\w+):[\w(), ]+\}", sql)) <= set(parameters)


def test_totals_answer_unless_they_do_not_keep_the_dimension_apart() -> None:
    def sql(**more: Any) -> str:
        return build(UsageQuery(START, END, **more), {}, NOW)[0]

    assert " FROM usage_parts " in sql(group_by=(Dimension.TENANT_ID,))
    assert " FROM usage_events " in sql(group_by=(Dimension.SUBJECT,))
    assert " FROM usage_events " in sql(subject="user:1")


def test_a_metric_that_is_asked_for_alone_is_answered_by_one_branch() -> None:
    metrics = {kind: Metric(key=kind, aggregation=Aggregation(kind)) for kind in ("sum", "p95", "time_weighted")}
    assert build(UsageQuery(START, END), metrics, NOW)[0].count("GROUP BY window") == 3
    for key, table in (("sum", "usage_parts"), ("p95", "usage_events"), ("time_weighted", "usage_events")):
        sql = build(UsageQuery(START, END, metric=key), metrics, NOW)[0]
        assert (sql.count("GROUP BY window"), f" FROM {table} " in sql) == (1, True)


def test_every_row_is_of_one_metric() -> None:
    assert UsageQuery(START, END).key == (Dimension.METRIC,)
    assert UsageQuery(START, END, group_by=(Dimension.TENANT_ID, Dimension.TENANT_ID)).key == (
        Dimension.METRIC,
        Dimension.TENANT_ID,
    )


@given(st.integers(0, 2**32 - 1), names, names)
def test_a_cursor_is_read_back(window: int, metric: str, tenant_id: str) -> None:
    query = UsageQuery(START, END, group_by=(Dimension.TENANT_ID,))
    assert read_cursor(write_cursor((window, metric, tenant_id)), query) == (window, metric, tenant_id)


@pytest.mark.parametrize(
    "cursor",
    ["x", "é", "!!!!", write_cursor([1]), write_cursor([1, "m", "t"]), write_cursor(["m", 1]), write_cursor([-1, "m"])],
)
def test_another_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError):
        read_cursor(cursor, UsageQuery(START, END))


@given(st.binary(max_size=40))
def test_no_cursor_raises_anything_else(noise: bytes) -> None:
    try:
        read_cursor(noise.decode("latin-1"), UsageQuery(START, END))
    except CursorError:
        return


@pytest.mark.parametrize(
    ("window", "first", "expected"),
    [
        (None, "2026-01-30T05", ("2026-01-30T05", "2026-03-02T07")),
        (Window.HOUR, "2026-02-01T03", ("2026-02-01T03", "2026-02-01T04")),
        (Window.DAY, "2026-01-30T05", ("2026-01-30T05", "2026-01-31T00")),
        (Window.DAY, "2026-03-02T00", ("2026-03-02T00", "2026-03-02T07")),
        (Window.WEEK, "2026-01-30T05", ("2026-01-30T05", "2026-02-02T00")),
        (Window.MONTH, "2026-01-30T05", ("2026-01-30T05", "2026-02-01T00")),
        (Window.MONTH, "2026-02-01T00", ("2026-02-01T00", "2026-03-01T00")),
        (Window.MONTH, "2026-03-01T00", ("2026-03-01T00", "2026-03-02T07")),
    ],
)
def test_a_row_says_which_part_of_its_window_it_is(
    window: Window | None, first: str, expected: tuple[str, str]
) -> None:
    query = UsageQuery(START, END, window)
    begin = int(datetime.fromisoformat(first + ":00Z").timestamp())
    (row,) = answer(query, [(begin, "calls", 1, "2", "2", "2", "2", "")], {}, parts_of(query, Book())).data
    assert (row.start, row.end) == tuple(datetime.fromisoformat(at + ":00Z") for at in expected)


@pytest.mark.parametrize(
    ("value", "previous", "percent"),
    [
        ("1.5", "1", "50.0"),
        ("0", "8", "-100.0"),
        ("5", "0", None),
        ("1", "-1", "200.0"),
        ("1.0005", "1", "0.0"),
        ("1.0015", "1", "0.2"),
        ("999999999999999999999999", "0.000000001", "99999999999999999999999899999999900.0"),
    ],
)
def test_a_change_is_in_percent_of_the_previous_value(value: str, previous: str, percent: str | None) -> None:
    assert change_percent(value, previous) == percent


def test_no_usage_is_nought_whatever_the_aggregation() -> None:
    assert {Numbers(0, "", "", "", "").value(aggregation) for aggregation in Aggregation} == {"0"}


def test_a_property_that_is_empty_is_not_one_that_is_missing() -> None:
    assert (property_of(""), property_of("="), property_of("==")) == (None, "", "=")


@pytest.mark.parametrize(
    ("aggregation", "value"),
    [
        (Aggregation.COUNT, "3"),
        (Aggregation.SUM, "10.5"),
        (Aggregation.AVG, "3.5"),
        (Aggregation.MIN, "-1"),
        (Aggregation.MAX, "100"),
        (Aggregation.LAST, "0"),
        (Aggregation.TIME_WEIGHTED, "0.000002"),
        (Aggregation.UNIQUE_COUNT, "7.2"),
        (Aggregation.P95, "7.2"),
    ],
)
def test_the_value_is_as_the_metric_is_aggregated(aggregation: Aggregation, value: str) -> None:
    numbers = Numbers(
        count=3, sum="10.500000000", min="-1.000000000", max="100", last="0.000000000", computed="7.200000000"
    )
    assert numbers.value(aggregation) == value


@pytest.mark.parametrize(
    ("milliseconds", "value"),
    [("0.0018", "0"), ("0.0054", "0.000000002"), ("-0.0054", "-0.000000002"), ("3600", "0.001")],
)
def test_unit_milliseconds_become_unit_hours_rounded_half_to_even(milliseconds: str, value: str) -> None:
    assert Numbers(1, "", "", "", "", milliseconds).value(Aggregation.TIME_WEIGHTED) == value
