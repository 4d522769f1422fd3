"""OpenMeter's meters and events as our metrics and usage, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.openmeter.__main__ import main
from meterline_api.openmeter.events import Part, from_binary, meter_id, parts_of, read_events, rounded
from meterline_api.openmeter.file import read_meters
from meterline_api.openmeter.meters import Meters, meters_of
from meterline_api.openmeter.paths import PathError, find, parse
from meterline_api.submissions import Form, Submission, UnreadableBodyError
from meterline_schemas.catalog import Metric
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.reading import InvalidLine, read_properties, read_quantity

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
METERS: list[dict[str, Any]] = [
    {
        "slug": "tokens_total",
        "eventType": "prompt",
        "aggregation": "SUM",
        "valueProperty": "$.tokens",
        "groupBy": {"model": "$.model", "region": "$.place.region"},
    },
    {"slug": "prompts", "eventType": "prompt", "aggregation": "COUNT", "groupBy": {"model": "$.model"}},
    {"slug": "users", "eventType": "prompt", "aggregation": "UNIQUE_COUNT", "valueProperty": "$.user.id"},
    {"slug": "latest_size", "eventType": "size", "aggregation": "LATEST", "valueProperty": "$['a b'][1]"},
]
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "my-app",
    "type": "prompt",
    "subject": "customer-1",
    "time": "2026-11-21T11:00:00Z",
    "data": {"tokens": "1234", "model": "gpt-4o", "place": {"region": "eu"}, "user": {"id": 7}},
}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def split(meters: Meters, *events: dict[str, Any]) -> list[Part]:
    return list(parts_of([json.dumps(event).encode() for event in events], meters, NOW))


def usage(found: Submission | InvalidLine) -> tuple[str, str, str, dict[str, str] | None]:
    """Tenant, metric, quantity and properties, as the stream reads them."""
    assert isinstance(found, Submission), found
    return (
        found.tenant_id,
        found.metric,
        read_quantity(bytes(found.quantity))[1],
        read_properties(bytes(found.properties)),
    )


# paths


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$.a", ("a",)),
        ("$.duration_ms", ("duration_ms",)),
        ("$.a.b-c.d", ("a", "b-c", "d")),
        ("$['a b'][\"c.d\"][0]", ("a b", "c.d", 0)),
        ("$.ü[12].x", ("ü", 12, "x")),
    ],
)
def test_a_path_is_a_way_through_members_and_places(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse(text) == steps


@pytest.mark.parametrize(
    "text",
    ["", "$", "a", ".a", "$a", "$.", "$..a", "$.*", "$[*]", "$[0]", "$.a[?(@.b)]", "$.a[1:2]", "$.a[-1]", "$.a b"],
)
def test_what_is_no_such_path_is_refused(text: str) -> None:
    with pytest.raises(PathError, match="write one like"):
        parse(text)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.n", b"1.10"),
        ("$.s", b'"x"'),
        ("$.b", b"false"),
        ("$.o.p[1].q", b"12345678901234567890.5"),
        ("$.null", None),
        ("$.o", None),
        ("$.o.p", None),
        ("$.none", None),
        ("$.n.x", None),
        ("$.o.p[9]", None),
        ("$.o[0]", None),
    ],
)
def test_values_are_found_as_they_are_written(path: str, found: bytes | None) -> None:
    text = b'{"n":1.10,"s":"x","b":false,"null":null,"o":{"p":[0,{"q":12345678901234567890.5}]}}'
    value = find(msgspec.json.decode(text, type=dict[str, msgspec.Raw]), parse(path))
    assert (None if value is None else bytes(value)) == found


# meters


def test_meters_are_read_from_openmeters_configuration_and_from_its_api(tmp_path: Path) -> None:
    configuration = tmp_path / "config.yaml"
    configuration.write_text(yaml.safe_dump({"ingest": {"kafka": {"broker": "kafka:9092"}}, "meters": METERS}))
    answer = tmp_path / "meters.json"
    stamps = {"id": "01K", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z", "metadata": None}
    answer.write_text(json.dumps([{**meter, **stamps} for meter in METERS]))
    assert read_meters(configuration) == read_meters(answer) == meters_of(METERS)
    assert [meter.slug for meter in read_meters(answer).by_type["prompt"]] == ["tokens_total", "prompts", "users"]
    assert read_meters(None) == Meters()


def test_every_mistake_in_the_meters_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "meters.yaml"
    wrong = [
        METERS[0],
        METERS[0],
        {"slug": "a b", "eventType": "x", "aggregation": "COUNT"},
        {"slug": "m", "eventType": "x", "aggregation": "P95"},
        {"slug": "n", "eventType": "x", "aggregation": "SUM"},
        {"slug": "o", "eventType": "x", "aggregation": "COUNT", "valueProperty": "$.a"},
        {"slug": "p", "eventType": "x", "aggregation": "SUM", "valueProperty": "$..a"},
        {"slug": "q", "eventType": "x", "aggregation": "COUNT", "groupBy": {"1": "$.a"}},
        {"slug": "r", "eventType": "x", "aggregation": "COUNT", "groupBy": {"subject": "$.a"}},
        {"slug": "s", "aggregation": "COUNT"},
        "t",
    ]
    file.write_text(json.dumps({"meters": wrong}))
    with pytest.raises(ConfigurationError) as refused:
        read_meters(file)
    text = str(refused.value)
    assert str(file) in text
    told = (
        "slug tokens_total is there 2 times",
        "meter 3 (a b): slug",
        "meter 4 (m): aggregation",
        "meter 5 (n): valueProperty is missing",
        "meter 6 (o): valueProperty is not for COUNT",
        "meter 7 (p): valueProperty: '$..a' is no path",
        "meter 8 (q): groupBy",
        "meter 9 (r): groupBy.subject: the name is taken",
        "meter 10 (s): eventType: is missing",
        "meter 11",
    )
    assert [part for part in told if part not in text] == []


@pytest.mark.parametrize("text", ["[", "a: &a [*a]: b", "1", "meters: 2", "{}", "\x00", "[" * 5000])
def test_a_file_without_meters_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "meters.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"meters\.yaml"):
        read_meters(file)
    with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read"):
        read_meters(tmp_path / "none.yaml")


def test_meters_become_metrics_of_the_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "meters.json"
    file.write_text(json.dumps(METERS))
    assert main([str(file)]) == 0
    written = yaml.safe_load(capsys.readouterr().out)
    metrics = {metric.key: metric for metric in map(Metric.model_validate, written["metrics"])}
    assert {key: metric.aggregation.value for key, metric in metrics.items()} == {
        "tokens_total": "sum", "prompts": "count", "users": "unique_count", "latest_size": "last",
    }  # fmt: skip
    assert metrics["tokens_total"].group_by == ("model", "region")
    assert metrics["users"].unique_by == "user.id"
    assert all(metric.allow_negative for metric in metrics.values())
    assert main([]) == main([str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_property_of_a_unique_count_has_no_name_of_a_group() -> None:
    meter = {**METERS[2], "valueProperty": "$.user", "groupBy": {"user": "$.owner"}}
    (found,) = meters_of([meter]).by_slug.values()
    assert (found.unique_by, found.metric.unique_by) == ("$.user", "$.user")


# events


def test_an_event_is_usage_of_every_meter_of_its_type() -> None:
    found = split(meters_of(METERS), EVENT)
    assert [usage(part) for _place, part in found] == [
        ("customer-1", "tokens_total", "1234", {"model": "gpt-4o", "region": "eu"}),
        ("customer-1", "prompts", "1", {"model": "gpt-4o"}),
        ("customer-1", "users", "1", {"user.id": "7"}),
    ]
    for _place, part in found:
        assert isinstance(part, Submission)
        assert (part.timestamp, part.source) == (datetime(2026, 11, 21, 11, tzinfo=UTC), "my-app")
    assert len({part.id for _place, part in found if isinstance(part, Submission)}) == 3
    assert found == split(meters_of(METERS), EVENT)


def test_an_event_without_a_value_is_none_of_that_meter() -> None:
    meters = meters_of(METERS)
    partly = {**EVENT, "data": {"model": "m", "tokens": None}}
    assert [usage(part)[1] for _place, part in split(meters, partly)] == ["prompts"]
    (_place, refused), = split(meters, {**EVENT, "type": "size", "data": {}})  # fmt: skip
    assert isinstance(refused, InvalidLine)
    assert "$['a b'][1] for latest_size" in refused.detail
    assert usage(split(meters, {**EVENT, "type": "size", "data": {"a b": [0, "7.5"]}})[0][1])[1:3] == (
        "latest_size", "7.5",
    )  # fmt: skip


def test_a_meter_begins_at_its_event_from() -> None:
    meters = meters_of([{**METERS[1], "eventFrom": "2026-11-21T11:30:00Z"}, METERS[0]])
    assert [usage(part)[1] for _place, part in split(meters, EVENT)] == ["tokens_total"]
    untimed = {name: value for name, value in EVENT.items() if name != "time"}
    assert [usage(part)[1] for _place, part in split(meters, untimed)] == ["prompts", "tokens_total"]


def test_an_event_of_another_type_is_usage_of_the_metric_with_that_name() -> None:
    other = {**EVENT, "type": "api_calls", "data": {"quantity": 2.5, "region": "eu"}}
    for meters in (Meters(), meters_of(METERS)):
        ((_place, found),) = split(meters, other)
        assert usage(found) == ("customer-1", "api_calls", "2.5", {"region": "eu"})
        assert isinstance(found, Submission)
        assert found.id == "6:my-appe-1"
    ((_place, plain),) = split(Meters(), {**other, "data": None})
    assert usage(plain)[2:] == ("1", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"}, {"id": ""}, {"id": "a\nb"}, {"source": ""}, {"subject": ""}, {"subject": None},
        {"type": 1}, {"time": "yesterday"}, {"time": "2026-11-21T11:00:00"}, {"data": [1]}, {"data": "x"},
        {"data_base64": "eA=="}, {"datacontenttype": "text/xml"},
    ],
)  # fmt: skip
def test_what_is_no_event_of_ours_says_so_and_keeps_its_place(wrong: dict[str, Any]) -> None:
    found = split(meters_of(METERS), EVENT, {**EVENT, **wrong}, {**EVENT, "id": "e-2"})
    assert [place for place, _part in found] == [0, 0, 0, 1, 2, 2, 2]
    assert isinstance(found[3][1], InvalidLine)


@pytest.mark.parametrize(
    ("form", "body", "number"),
    [
        (Form.CLOUDEVENT, b"{}", 1),
        (Form.JSON, b" {}", 1),
        (Form.JSON, b" [{},{}]", 2),
        (Form.CLOUDEVENTS, b"[{},1,null]", 3),
        (Form.CLOUDEVENTS, b"[]", 0),
    ],
)
def test_each_form_is_taken_apart_into_events(form: Form, body: bytes, number: int) -> None:
    assert len(read_events(form, body)) == number


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (Form.CLOUDEVENT, b""),
        (Form.CLOUDEVENT, b"{"),
        (Form.JSON, b"[1"),
        (Form.CLOUDEVENTS, b"{}"),
        (Form.JSON, b"\xff"),
    ],
)
def test_a_body_that_cannot_be_taken_apart_is_refused(form: Form, body: bytes) -> None:
    with pytest.raises(UnreadableBodyError):
        read_events(form, body)


def test_an_event_in_binary_mode_is_the_structured_one() -> None:
    headers = {f"ce-{name}": value for name, value in EVENT.items() if name != "data"}
    headers |= {"ce-subject": "B%C3%BCcher", "content-type": "application/json", "ce-extra": "x"}
    found = split(meters_of(METERS), json.loads(from_binary(headers, json.dumps(EVENT["data"]).encode())))
    assert found == split(meters_of(METERS), {**EVENT, "subject": "Bücher"})
    assert json.loads(from_binary({"ce-id": "1"}, b"")) == {"id": "1"}
    for body in (b'1,"subject":"other"', b"x", b"\xff"):
        with pytest.raises(UnreadableBodyError):
            from_binary(headers, body)
    with pytest.raises(UnreadableBodyError, match="percent-encode"):
        from_binary({**headers, "ce-subject": "Bücher"}, b"{}")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(st.lists(st.tuples(st.sampled_from(["a", "a1", "meter", "sha256"]), names, names), unique=True, max_size=20))
def test_no_two_meters_and_events_have_the_same_id(keys: list[tuple[str, str, str]]) -> None:
    ids = [meter_id(*key) for key in keys]
    assert len(set(ids)) == len(keys)
    assert all(len(id) <= 256 for id in ids)


# quantities


@given(st.floats(-1e17, 1e17, allow_nan=False))
def test_a_float_counts_rounded_once_at_the_ninth_decimal(value: float) -> None:
    exact = Decimal(repr(value))
    wanted = exact.quantize(Decimal("1e-9"), ROUND_HALF_EVEN) if -exact.as_tuple().exponent > 9 else exact  # type: ignore[operator]
    for found in (rounded(raw(value)), rounded(raw(repr(value)))):
        assert Decimal(read_quantity(bytes(found))[1]) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (1e-10, "0"), (-1e-10, "0"), (5e-10, "0"), (1.5e-9, "0.000000002"), (1e-300, "0"), ("7", "7")],
)
def test_values_that_floats_leave_behind_are_tidied(value: float | str, text: str) -> None:
    assert read_quantity(bytes(rounded(raw(value))))[1] == text


@pytest.mark.parametrize("value", ["x", "", " 1", "1e999", True, "9" * 65, 1e300, "NaN"])
def test_what_is_no_such_number_is_judged_like_all_others(value: Any) -> None:
    assert bytes(rounded(raw(value))) == bytes(raw(value))
    with pytest.raises(InvalidLine):
        read_quantity(bytes(rounded(raw(value))))


def test_a_value_that_is_no_number_is_told_by_its_meter_alone() -> None:
    found = split(meters_of(METERS), {**EVENT, "data": {"tokens": "many"}})
    assert [part.metric for _place, part in found if isinstance(part, Submission)] == ["tokens_total", "prompts"]
    with pytest.raises(InvalidLine):
        usage(found[0][1])
