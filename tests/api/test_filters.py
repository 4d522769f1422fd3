"""Filters: documents that are none are refused with the place, and what passes is what an independent reading says."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterline_api.clickhouse import ClickHouse
from meterline_api.usage.filters import MAX_DEPTH, MAX_TESTS, MAX_VALUES, FilterError, metrics_of, read_filter
from meterline_api.usage.query import UsageQuery
from meterline_api.usage.statement import build
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse as Tables
from tests.api.oracle import Reading, expected, totals
from tests.api.recount import ask, rows, utc
from tests.support.examples import few
from tests.support.late import insert_events

KINDS = ("sum", "p95", "unique_count", "time_weighted")
METRICS = {
    kind: Metric(key=kind, aggregation=Aggregation(kind), unique_by="subject" if kind == "unique_count" else "")
    for kind in KINDS
}
START, NOW = utc("2026-10-30T00:00Z"), utc("2026-11-20T00:00Z")
COLORS = (None, "", "5", "05", "-1.5", "10", "1e1", "red", "r", "ré'd", "%", "9" * 30 + ".5")
EVENTS = [
    Reading(
        ("acme", "b'c\\", "x")[n % 3],
        KINDS[n // 3 % 4],
        START + timedelta(minutes=7 * n, milliseconds=n % 2),
        f"{n}",
        (Decimal("999999999999999999.999999999"), Decimal("2.5"), Decimal("-0.000000001"), Decimal(n % 9))[n % 4],
        subject=("", "user:1", "user:2", "project:1")[n // 2 % 4],
        source=("", "shop", "SHOP")[n // 5 % 3],
        color=COLORS[n // 7 % len(COLORS)],
        late=n % 10 == 0,
        offset=n,
    )
    for n in range(420)
]
TEXTS = {
    "tenant_id": ["acme", "b'c\\", "y", ""],
    "metric": [*KINDS, "none", "s"],
    "subject": ["", "user:1", "user:", "%", "'"],
    "source": ["", "shop", "sho", "{start:UInt32}", "\0", "\t\n\r"],
    "properties.color": ["", "red", "r", "5", "10", "05", "1e1", "-2", "\\"],
    "properties.none": ["", "x"],
}
ORDERS = ("gt", "gte", "lt", "lte")


@pytest.fixture(scope="module")
def api(module_database: ClickHouseSettings) -> Iterator[ClickHouse]:
    tables = Tables(module_database, module_database.database)
    insert_events(tables, b"\n".join(event.line() for event in EVENTS))
    tables.insert("usage_totals", b"\n".join(totals(EVENTS)))
    tables.close()
    edge = ClickHouse(module_database, 30)
    yield edge
    edge.close()


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    field = draw(st.sampled_from([*TEXTS, "properties.color", "quantity", "timestamp"]))
    if field == "quantity":
        value = st.sampled_from(["2.5", 3, "-0.000000001", "999999999999999999.999999999", Decimal("2.50")])
        operator = draw(st.sampled_from(["eq", "ne", "in", *ORDERS]))
    elif field == "timestamp":
        value = st.integers(0, 2940 * 60_000).map(lambda ms: (START + timedelta(milliseconds=ms)).isoformat())
        operator = draw(st.sampled_from(ORDERS))
    else:
        value = st.sampled_from(TEXTS[field])
        known = ["eq", "ne", "in", "prefix"]
        known += ["exists"] if field not in ("tenant_id", "metric") else []
        operator = draw(st.sampled_from([*known, *(ORDERS if "." in field else ())]))
        if operator in ORDERS:
            value = st.sampled_from(["5", 5, Decimal("-1.50"), "red", "", "10", "9" * 30])
    if operator == "exists":
        return {field: {"exists": draw(st.booleans())}}
    return {field: {operator: draw(st.lists(value, min_size=1, max_size=3) if operator == "in" else value)}}


def documents(depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    merged = st.lists(comparisons(), max_size=2).map(lambda found: {k: v for one in found for k, v in one.items()})
    if depth == 1:
        return merged
    lists = st.lists(documents(depth - 1), min_size=1, max_size=3)
    return (
        merged
        | st.builds(lambda a, o, rest: {**rest, "and": a, "or": o}, lists, lists, merged)
        | lists.map(lambda found: {"or": found})
    )


def passes(event: Reading, document: dict[str, Any]) -> bool:
    """The documentation of filters, read once more."""
    for name, value in document.items():
        if name in ("and", "or"):
            if not (all if name == "and" else any)(passes(event, each) for each in value):
                return False
        elif not all(_holds(event, name, operator, each) for operator, each in value.items()):
            return False
    return True


def _holds(event: Reading, field: str, operator: str, value: Any) -> bool:
    have: Any = {"properties.color": event.color, "properties.none": None}.get(field, getattr(event, field, None))
    if field == "quantity":
        return _compare(operator, Fraction(have), [Fraction(str(v)) for v in (value if operator == "in" else [value])])
    if field == "timestamp":
        return _compare(operator, have, [datetime.fromisoformat(value)])
    if operator == "exists":
        return ((have is not None) if "." in field else have != "") is value
    if operator == "ne":
        return bool(have != str(value))
    if have is None:
        return False
    if operator in ORDERS and _number(str(value)) is not None:
        number = _number(have)
        return number is not None and _compare(operator, number, [_number(str(value))])
    if operator == "prefix":
        return bool(have.startswith(value))
    return _compare(operator, have.encode(), [str(v).encode() for v in (value if operator == "in" else [value])])


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


def _compare(operator: str, have: Any, values: list[Any]) -> bool:
    if operator == "in":
        return have in values
    compare: Callable[[Any, Any], bool] = getattr(python, {"gte": "ge", "lte": "le"}.get(operator, operator))
    return compare(have, values[0])


@settings(max_examples=few(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents(), tenants=st.sampled_from([None, ("acme",), ("acme", "x"), ()]))
def test_what_passes_a_filter_is_what_it_says_and_never_another_tenants(
    api: ClickHouse, document: dict[str, Any], tenants: tuple[str, ...] | None
) -> None:
    query = UsageQuery(
        START, START + timedelta(hours=49), None, tenants, group_by=("tenant_id",), limit=10_000,
        filter=read_filter(document),
    )  # fmt: skip
    chosen = [e for e in EVENTS if passes(e, document) and (tenants is None or e.tenant_id in tenants)]
    wanted = expected(chosen, METRICS, ("tenant_id",), None, query.start, query.end, NOW)
    assert rows(ask(api, query, METRICS, NOW), "tenant_id") == wanted


def test_filters_of_tenants_and_metrics_alone_are_answered_from_totals() -> None:
    def table(document: dict[str, Any]) -> bool:
        query = UsageQuery(START, NOW, filter=read_filter(document))
        return " usage_parts " in build(query, {}, NOW)[0]

    assert table({"tenant_id": {"prefix": "a"}, "or": [{"metric": {"eq": "x"}}, {"metric": {"ne": "y"}}]})
    assert not table({"subject": {"eq": ""}})
    assert not table({"or": [{"tenant_id": {"eq": "acme"}}, {"quantity": {"gt": 1}}]})


@pytest.mark.parametrize(
    ("document", "metrics"),
    [
        ({"metric": {"eq": "a"}}, {"a"}),
        ({"metric": {"in": ["a", "b"]}, "subject": {"eq": "x"}}, {"a", "b"}),
        ({"metric": {"in": ["a", "b"], "eq": "b"}}, {"b"}),
        ({"or": [{"metric": {"eq": "a"}}, {"metric": {"eq": "b"}}]}, {"a", "b"}),
        ({"or": [{"metric": {"eq": "a"}}, {"subject": {"eq": "b"}}]}, None),
        ({"metric": {"prefix": "a"}}, None),
        ({}, None),
    ],
)
def test_the_metrics_that_can_pass_are_known(document: dict[str, Any], metrics: set[str] | None) -> None:
    assert metrics_of(read_filter(document)) == metrics


def nested(depth: int) -> dict[str, Any]:
    return {"and": [nested(depth - 1)]} if depth > 1 else {"metric": {"eq": "a"}}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "must be a JSON object"),
        ({"color": {"eq": "red"}}, "'color' is no field; fields are tenant_id,"),
        ({"properties.": {"eq": "red"}}, "is no field"),
        ({"properties." + "n" * 300: {"eq": "red"}}, "is no field"),
        ({"subject": "user:1"}, 'subject: must be an object such as {"eq": …}'),
        ({"subject": {}}, "must be an object"),
        ({"subject": {"gt": "a"}}, "'gt' is not for it; it takes eq, ne, in, prefix, exists"),
        ({"subject": {"like": "a"}}, "'like' is not for it"),
        ({"subject": {"eq": None}}, "subject.eq: must be text, a number or a boolean"),
        ({"subject": {"eq": ["a"]}}, "must be text"),
        ({"subject": {"in": []}}, "subject.in: must be a list of values, and not empty"),
        ({"subject": {"in": "a"}}, "must be a list"),
        ({"subject": {"exists": "yes"}}, "must be true or false"),
        ({"subject": {"eq": "a" * 2000}}, "is longer than"),
        ({"subject": {"eq": "\ud800"}}, "subject.eq: is no text"),
        ({"properties.\udfff": {"eq": "a"}}, "is no text"),
        ({"quantity": {"gt": "much"}}, "quantity.gt: quantity is not a decimal number"),
        ({"quantity": {"gt": "1.0000000001"}}, "more than 9 decimals"),
        ({"quantity": {"gt": True}}, "not a decimal number"),
        ({"quantity": {"lt": 10**18}}, "below 10^18"),
        ({"timestamp": {"gt": "yesterday"}}, "must be a time such as"),
        ({"timestamp": {"gt": "2026-11-01T00:00:00"}}, "must be a time such as"),
        ({"timestamp": {"gt": "2026-11-01T00:00:00.0001Z"}}, "milliseconds at most"),
        ({"timestamp": {"gt": "0001-01-01T00:00:00+14:00"}}, "between 1970 and 2105"),
        ({"timestamp": {"gt": 5}}, "must be a time"),
        ({"and": []}, "and: must be a list of filters, and not empty"),
        ({"or": {"metric": {"eq": "a"}}}, "or: must be a list"),
        ({"or": [1]}, "must be a JSON object"),
        (nested(MAX_DEPTH + 1), "nested more than 5 deep"),
        ({"or": [{"metric": {"eq": "a"}}] * (MAX_TESTS + 1)}, "51 comparisons, at most 50"),
        ({"metric": {"in": ["a"] * (MAX_VALUES + 1)}}, "501 values in its `in`, at most 500"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_to_write(document: Any, says: str) -> None:
    with pytest.raises(FilterError) as refused:
        read_filter(document)
    assert says in str(refused.value)
    read_filter(nested(MAX_DEPTH))
