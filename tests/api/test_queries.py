"""Requests as SQL: values are parameters, cursors are checked, windows are cut to the range."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.queries import (
    CursorError,
    Dimension,
    Numbers,
    UsageQuery,
    Window,
    bounds,
    build,
    read_cursor,
    write_cursor,
)
from meterline_schemas.catalog import Aggregation

START, END = datetime(2026, 1, 30, 5, tzinfo=UTC), datetime(2026, 3, 2, 7, tzinfo=UTC)
names = st.text(min_size=1, max_size=20)
queries = st.builds(
    UsageQuery,
    st.just(START),
    st.just(END),
    window=st.none() | st.sampled_from(Window),
    tenant_id=st.none() | names,
    metric=st.none() | names,
    group_by=st.lists(st.sampled_from(Dimension), max_size=4).map(tuple),
    limit=st.integers(1, 10_000),
)


@given(queries, st.data())
def test_no_value_becomes_part_of_a_statement(query: UsageQuery, data: st.DataObject) -> None:
    after = (1, *(data.draw(names) for _ in query.key))
    sql, parameters = build(UsageQuery(**{**query.__dict__, "after": after}))
    same, _ = build(
        UsageQuery(
            **{
                **query.__dict__,
                "after": (2, *("x" for _ in query.key)),
                "tenant_id": query.tenant_id and "x",
                "metric": query.metric and "x",
                "limit": 5,
            }
        )
    )
    assert sql == same
    assert set(re.findall(r"\{(\w+):\w+\}", sql)) == set(parameters)


def test_totals_answer_unless_they_do_not_keep_the_dimension_apart() -> None:
    assert " FROM usage_hourly " in build(UsageQuery(START, END, group_by=(Dimension.TENANT_ID,)))[0]
    assert " FROM usage_events " in build(UsageQuery(START, END, group_by=(Dimension.SUBJECT,)))[0]


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
        (None, datetime(1970, 1, 1, tzinfo=UTC), (START, END)),
        (Window.HOUR, datetime(2026, 2, 1, 3, tzinfo=UTC), ("2026-02-01T03", "2026-02-01T04")),
        (Window.DAY, datetime(2026, 1, 30, tzinfo=UTC), ("2026-01-30T05", "2026-01-31T00")),
        (Window.DAY, datetime(2026, 3, 2, tzinfo=UTC), ("2026-03-02T00", "2026-03-02T07")),
        (Window.MONTH, datetime(2026, 1, 1, tzinfo=UTC), ("2026-01-30T05", "2026-02-01T00")),
        (Window.MONTH, datetime(2026, 2, 1, tzinfo=UTC), ("2026-02-01T00", "2026-03-01T00")),
        (Window.MONTH, datetime(2026, 3, 1, tzinfo=UTC), ("2026-03-01T00", "2026-03-02T07")),
    ],
)
def test_a_row_says_which_part_of_its_window_it_is(
    window: Window | None, first: datetime, expected: tuple[datetime | str, datetime | str]
) -> None:
    wanted = tuple(datetime.fromisoformat(at + ":00Z") if isinstance(at, str) else at for at in expected)
    assert bounds(UsageQuery(START, END, window), int(first.timestamp())) == wanted


@pytest.mark.parametrize(
    ("aggregation", "value"),
    [
        (Aggregation.COUNT, "3"),
        (Aggregation.SUM, "10.5"),
        (Aggregation.MIN, "-1"),
        (Aggregation.MAX, "100"),
        (Aggregation.LAST, "0"),
    ],
)
def test_the_value_is_as_the_metric_is_aggregated(aggregation: Aggregation, value: str) -> None:
    numbers = Numbers(count=3, sum="10.500000000", min="-1.000000000", max="100", last="0.000000000")
    assert numbers.value(aggregation) == value
