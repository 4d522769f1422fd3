"""Bodies in their forms become one list, with every event or why it is none."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.cloudevents import identity, read_cloudevents
from meterline_api.submissions import (
    Form,
    Submission,
    TooManyEventsError,
    UnknownFormError,
    UnreadableBodyError,
    form_of,
    read_native,
)
from meterline_schemas.event import MAX_ID
from meterline_schemas.reading import InvalidLine
from meterline_schemas.reject import Reason

GOOD = {"id": "a", "tenant_id": "t", "metric": "m", "quantity": "1"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "m", "subject": "t"}


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", Form.JSON),
        ("Application/JSON; Charset=UTF-8", Form.JSON),
        ('application/json;charset="utf-8"; q=1', Form.JSON),
        ("application/x-ndjson", Form.NDJSON),
        ("application/ndjson", Form.NDJSON),
        ("application/jsonl", Form.NDJSON),
        ("application/cloudevents+json; charset=utf-8", Form.CLOUDEVENT),
        ("application/cloudevents-batch+json", Form.CLOUDEVENTS),
    ],
)
def test_a_media_type_names_a_form_whatever_its_parameters(content_type: str, form: Form) -> None:
    assert form_of(content_type) == form


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json+x"])
def test_another_media_type_is_refused_and_the_right_ones_are_named(content_type: str) -> None:
    with pytest.raises(UnknownFormError, match="application/x-ndjson"):
        form_of(content_type)


def test_another_charset_is_refused() -> None:
    with pytest.raises(UnknownFormError, match="latin-1"):
        form_of("application/json; charset=latin-1")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (Form.JSON, json.dumps(GOOD)),
        (Form.JSON, f" [{json.dumps(GOOD)}] "),
        (Form.NDJSON, f"\n{json.dumps(GOOD)}\r\n\n"),
    ],
)
def test_every_form_gives_the_same_event(form: Form, body: str) -> None:
    (found,) = read_native(form, body.encode())
    assert isinstance(found, Submission)
    assert (found.id, found.tenant_id, found.metric, bytes(found.quantity)) == ("a", "t", "m", b'"1"')


@pytest.mark.parametrize("form", [Form.JSON, Form.NDJSON])
def test_a_bad_event_is_only_its_own_problem(form: Form) -> None:
    texts = [json.dumps(GOOD), '{"id": 1}', "[]", json.dumps(GOOD)]
    body = "\n".join(texts) if form is Form.NDJSON else f"[{','.join(texts)}]"
    found = read_native(form, body.encode())
    assert [type(item) for item in found] == [Submission, InvalidLine, InvalidLine, Submission]


def test_a_bad_line_is_only_its_own_problem() -> None:
    found = read_native(Form.NDJSON, json.dumps(GOOD).encode() + b"\n{\n\xff\n")
    assert [item.reason for item in found if isinstance(item, InvalidLine)] == [Reason.INVALID_JSON] * 2


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"[{]", b"\xff", b"nul", json.dumps([GOOD, GOOD]).encode() + b"]"])
def test_a_body_that_is_no_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBodyError):
        read_native(Form.JSON, body)


@given(st.binary(max_size=200), st.sampled_from(list(Form)))
def test_no_bytes_raise_anything_else(body: bytes, form: Form) -> None:
    read = read_cloudevents if form in (Form.CLOUDEVENT, Form.CLOUDEVENTS) else read_native
    with contextlib.suppress(UnreadableBodyError):
        read(form, body)


def cloud(**more: Any) -> Submission | InvalidLine:
    (found,) = read_cloudevents(Form.CLOUDEVENT, json.dumps({**CLOUD, **more}).encode())
    return found


def test_a_cloudevent_is_usage_of_its_subject() -> None:
    found = cloud(time="2026-01-01T00:00:00Z", data={"quantity": 1.5, "region": "eu"})
    assert isinstance(found, Submission)
    assert (found.tenant_id, found.metric, found.source) == ("t", "m", "/shop")
    assert (bytes(found.quantity), bytes(found.properties)) == (b"1.5", b'{"region":"eu"}')
    assert found.timestamp is not None


@pytest.mark.parametrize(
    ("data", "quantity", "properties"),
    [
        (None, b"1", b""),
        ({}, b"1", b""),
        ({"value": "2"}, b'"2"', b""),
        ({"quantity": 3, "value": 2}, b"3", b'{"value":2}'),
        ({"path": "/x"}, b"1", b'{"path":"/x"}'),
    ],
)
def test_the_quantity_of_a_cloudevent(data: Any, quantity: bytes, properties: bytes) -> None:
    found = cloud(data=data)
    assert isinstance(found, Submission)
    assert (bytes(found.quantity), bytes(found.properties)) == (quantity, properties)


def test_a_number_of_a_cloudevent_keeps_every_digit() -> None:
    body = json.dumps(CLOUD)[:-1] + ',"data":{"quantity":123456789012345678.123456789,"p":1.10}}'
    (found,) = read_cloudevents(Form.CLOUDEVENT, body.encode())
    assert isinstance(found, Submission)
    assert bytes(found.quantity) == b"123456789012345678.123456789"
    assert bytes(found.properties) == b'{"p":1.10}'


@pytest.mark.parametrize(
    "more",
    [
        {"specversion": "0.3"},
        {"subject": None},
        {"id": ""},
        {"id": "a\x00"},
        {"data": [1]},
        {"data": "text"},
        {"data_base64": "AA=="},
        {"datacontenttype": "text/xml"},
        {"time": "yesterday"},
    ],
)
def test_a_cloudevent_that_is_no_usage_is_invalid(more: dict[str, Any]) -> None:
    found = cloud(**more)
    assert isinstance(found, InvalidLine)
    assert found.reason == Reason.INVALID_EVENT


def test_a_batch_of_cloudevents_is_read_one_by_one() -> None:
    body = json.dumps([CLOUD, {"specversion": "1.0"}, CLOUD]).encode()
    found = read_cloudevents(Form.CLOUDEVENTS, body)
    assert [type(item) for item in found] == [Submission, InvalidLine, Submission]


texts = st.text(min_size=1, max_size=300)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_two_cloudevents_have_the_same_identity_only_if_source_and_id_are_the_same(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (identity(*one) == identity(*other)) == (one == other)
    assert len(identity(*one)) <= MAX_ID


def test_where_source_ends_and_id_begins_makes_a_difference() -> None:
    assert len({identity("a", "bc"), identity("ab", "c"), identity("1:a", "b"), identity("1", ":ab")}) == 4


@pytest.mark.parametrize(
    ("form", "item", "ends"),
    [(Form.NDJSON, b"1\n", (b"", b"")), (Form.JSON, b"1,", (b"[", b"1]")), (Form.CLOUDEVENTS, b"1,", (b"[", b"1]"))],
)
def test_too_many_are_told_before_each_is_looked_at(form: Form, item: bytes, ends: tuple[bytes, bytes]) -> None:
    read = read_cloudevents if form is Form.CLOUDEVENTS else read_native
    started = time.process_time()
    with pytest.raises(TooManyEventsError):
        read(form, ends[0] + item * 1_000_000 + ends[1], 10_000)
    assert time.process_time() - started < 2
    assert len(read(form, ends[0] + item * 10 + ends[1], 11)) in (10, 11)


def test_too_many_events_that_can_be_read_are_told_too() -> None:
    with pytest.raises(TooManyEventsError):
        read_native(Form.JSON, json.dumps([GOOD] * 4).encode(), 3)
    assert len(read_native(Form.JSON, json.dumps([GOOD] * 3).encode(), 3)) == 3


@pytest.mark.parametrize("form", [Form.JSON, Form.NDJSON])
def test_a_time_is_never_moved_into_the_next_day(form: Form) -> None:
    event = '{"id":"a","tenant_id":"t","metric":"m","quantity":1,"timestamp":"2026-12-31T23:59:59.9999999Z"}'
    bodies = [event, f"{event}\n{event}"] if form is Form.NDJSON else [event, f"[{event},{event}]"]
    for body in bodies:
        for found in read_native(form, body.encode()):
            assert isinstance(found, Submission)
            assert found.timestamp == datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
