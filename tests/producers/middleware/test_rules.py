"""Which requests count, and as how much: values alone."""

from __future__ import annotations

import re
from decimal import Context, Decimal, localcontext
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline import ConfigurationError, InvalidUsageError
from meterline.middleware.rules import METHODS, Answered, Rules, identity, seconds
from meterline.middleware.templates import behind


def rules(**options: Any) -> Rules:
    return Rules(**{"tenant": lambda _request: "acme", **options})


def answered(**changes: Any) -> Answered:
    values = {"method": "GET", "endpoint": "/x", "status": 200, "bytes_in": 3, "bytes_out": 5, "nanoseconds": 7}
    return Answered(**{**values, **changes})


paths = st.text("ab/%.", max_size=8).map(lambda text: "/" + text)
patterns = st.text("ab/.*", max_size=5).map(lambda text: "/" + text)


@given(paths, st.lists(patterns, max_size=3), st.lists(patterns, max_size=3))
def test_a_path_is_watched_where_a_pattern_includes_it_and_none_excludes_it(
    path: str, include: list[str], exclude: list[str]
) -> None:
    wanted = any(fnmatchcase(path, each) for each in include) and not any(fnmatchcase(path, each) for each in exclude)
    assert rules(include=include, exclude=exclude).watches(path) == wanted


def test_a_pattern_means_whole_paths_and_its_other_characters_mean_themselves() -> None:
    chosen = rules(include=("/api/v1/*",), exclude=("/api/v1/[a]",))
    assert chosen.watches("/api/v1/items/7")
    assert chosen.watches("/api/v1/a")
    assert not chosen.watches("/api/v1/[a]")
    assert not chosen.watches("/api/v1")
    assert not chosen.watches("/api/v10/items")
    assert not chosen.watches("/other/api/v1/items")
    assert rules().watches("/anything\nat all")


@given(st.integers(100, 599), st.lists(st.tuples(st.integers(100, 599), st.integers(0, 99)), min_size=1, max_size=4))
def test_statuses_are_ranges_of_codes(status: int, ranges: list[tuple[int, int]]) -> None:
    spans = [(first, min(599, first + more)) for first, more in ranges]
    chosen = rules(statuses=[f"{first}-{last}" for first, last in spans])
    counts = any(first <= status <= last for first, last in spans)
    assert chosen.passed_over(status, "/x") == (None if counts else "status")


def test_by_default_only_what_succeeded_on_a_known_route_counts() -> None:
    assert [status for status in range(600) if rules().passed_over(status, "/x") is None] == list(range(200, 300))
    assert rules().passed_over(200, "") == "unmatched"
    assert rules(statuses=("2xx", 304, "404")).passed_over(304, "/x") is None


@given(st.integers(0, 10**24))
def test_seconds_are_exact_to_the_nanosecond_in_any_decimal_context(nanoseconds: int) -> None:
    with localcontext(Context(prec=3)):
        found = seconds(nanoseconds)
    with localcontext(Context(prec=60)):
        assert found * 10**9 == nanoseconds
    assert isinstance(found, Decimal)


def test_the_quantity_is_a_number_a_measure_or_what_a_callable_says() -> None:
    request = {"tokens": 41}
    assert rules(quantity=Decimal("2.5")).amount(answered(), request) == Decimal("2.5")
    assert rules(quantity="bytes_in").amount(answered(), request) == 3
    assert rules(quantity="bytes_out").amount(answered(), request) == 5
    assert rules(quantity="bytes_out").amount(answered(method="HEAD"), request) == 0
    assert rules(quantity="seconds").amount(answered(), request) == Decimal("0.000000007")
    assert rules(quantity=lambda found: found["tokens"]).amount(answered(), request) == 41


@given(st.text(), st.none() | st.dictionaries(st.text(), st.integers()))
def test_properties_are_endpoint_method_and_status_and_what_the_app_adds(
    method: str, extra: dict[str, int] | None
) -> None:
    found = Rules.properties(answered(method=method), extra)
    shown = method if method in METHODS else "_OTHER"
    assert found == {"endpoint": "/x", "method": shown, "status": 200, **(extra or {})}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"include": "/api/*"}, "include must be a list or tuple, not '/api/*'"),
        ({"exclude": ["health"]}, "begins with / or *"),
        ({"exclude": [7]}, "begins with / or *"),
        ({"statuses": "2xx"}, "statuses must be a list or tuple, not '2xx'"),
        ({"statuses": [200.5]}, "give them like '2xx'"),
        ({"statuses": ["6xx"]}, "give them like '2xx'"),
        ({"statuses": []}, "nothing would count"),
        ({"statuses": ["299-200"]}, "nothing would count"),
        ({"tenant": "acme"}, "tenant must be a callable"),
        ({"subject": "user"}, "subject must be a callable"),
        ({"properties": {}}, "properties must be a callable"),
        ({"endpoint": "/x"}, "endpoint must be a callable"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        rules(**options)


def test_a_metric_or_quantity_that_can_never_count_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidUsageError, match="metric is empty"):
        rules(metric="")
    with pytest.raises(InvalidUsageError):
        rules(quantity="bytes")
    with pytest.raises(TypeError, match="float"):
        rules(quantity=0.5)


def test_a_tenant_is_its_text() -> None:
    assert identity("acme") == "acme"
    assert identity(17) == "17"
    assert identity(0) == "0"
    assert identity("") is None
    assert identity(None) is None


segments = st.text("abc", min_size=1, max_size=3)


@given(st.lists(segments, min_size=1, max_size=4), st.data())
def test_no_value_of_a_parameter_is_left_in_a_template(prefix: list[str], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([*prefix, "elsewhere"]))
    found = behind("/" + "/".join(prefix), {"who": value, "id": "7"}, "/items/{id}")
    assert value not in found.split("/")
    assert "{who}" in found
    assert found.endswith("/items/{id}")
    assert "7" not in found
