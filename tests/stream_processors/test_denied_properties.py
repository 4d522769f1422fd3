"""Properties that nothing is kept of, by values alone: what stays of events that count and of those that do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_schemas import topics
from meterline_schemas.catalog import Metric, RefusedError
from meterline_schemas.catalog.changes import check_denied
from meterline_schemas.denied import line_without
from meterline_schemas.reject import Reject
from meterline_schemas.settings import JudgeSettings, load
from meterline_streams.judge import Judge, SourceRecord, Verdicts, instant
from meterline_streams.memory import PartitionMemory
from meterline_streams.settings import StreamSettings
from tests.stream_processors.test_memory import LIMITS
from tests.stream_processors.test_plain import BOUNDS, METRICS, NOW
from tests.support.examples import few

DENIED = frozenset({"email", "phone"})
SECRET = "jo@example.com"


def line(**changed: Any) -> bytes:
    fields = {"id": "1", "tenant_id": "acme", "metric": "b", "quantity": "1.50", "timestamp": instant(NOW).isoformat()}
    return json.dumps({**fields, "properties": {"email": SECRET, "region": "eu"}, **changed}).encode()


def judged(value: bytes, denied: Set[str] = DENIED) -> Verdicts:
    verdicts = Verdicts()
    record = SourceRecord(7, value, NOW, NOW, hopped=False)
    Judge("usage.events", 0, 1, denied).judge(record, 5, BOUNDS, METRICS, verdicts)
    return verdicts


def rejected(value: bytes) -> Reject:
    (reject,) = judged(value).rejects
    assert (reject.raw_bytes, reject.raw_sha256) == (len(value), hashlib.sha256(value).hexdigest())
    return reject


def test_a_repeat_is_told_as_ever_and_keeps_no_denied_property() -> None:
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS, DENIED)
    records = [SourceRecord(offset, line(), NOW, NOW, hopped=False) for offset in range(2)]
    counted = memory.fold(memory.judge(records, {"b": Metric(key="b")}), 1)
    (event,), (reject,) = counted.accepted, counted.rejects
    assert (event.quantity, event.properties) == ("1.5", {"region": "eu"})
    assert (reject.reason, reject.raw_sha256) == ("duplicate", hashlib.sha256(line()).hexdigest())
    assert json.loads(reject.raw) == {**json.loads(line()), "properties": {"region": "eu"}}


def test_a_rejected_line_without_a_denied_name_stays_as_it_came() -> None:
    value = line(metric="fax", properties={"region": "eu"}, more=[1])
    assert rejected(value).raw.encode() == value
    assert rejected(b"{no json").raw == "{no json"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"properties": {"EMAIL": SECRET, "region": "eu"}},
        {"email": SECRET},
        {"more": {"deep": [{"email": SECRET}]}},
        {"properties": {"email": {"of": SECRET}, "region": "eu"}},
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
def test_a_rejected_event_keeps_what_it_takes_to_judge_it_again(changed: dict[str, Any], escaped: bool) -> None:
    value = line(metric="fax", **changed)
    if escaped:
        value = value.replace(b'"e', b'"\\u0065').replace(b'"E', b'"\\u0045')
    kept = rejected(value).raw
    assert SECRET not in kept
    assert "mail" not in kept.casefold()
    again = {**METRICS, "fax": Metric(key="fax")}
    found, whole = Verdicts(), Verdicts()
    for verdicts, each in ((found, kept.encode()), (whole, value)):
        record = SourceRecord(7, each, NOW, NOW, hopped=False)
        Judge("usage.events", 0, 1, DENIED).judge(record, 5, BOUNDS, again, verdicts)
    assert len(found.candidates) == 1
    assert (found.candidates, found.quantities) == (whole.candidates, whole.quantities)


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "1", "properties": {"email": "jo@example.com"}',
        b'[{"email": "jo@example.com"}]',
        b'"email: jo@example.com"',
        b'\xff{"email": "jo@example.com"}',
        '{"email": "jo@example.com"}'.encode("utf-16"),
        line(properties=json.dumps({"email": SECRET})),
        line(properties=[{"email": SECRET}]),
        line(id={"email": SECRET}),
        line(subject=[{"email": SECRET}], quantity={"email": SECRET}),
        json.dumps({"email": SECRET}, indent=1).encode() + b"x",
        b"\n".join([line(), b"{}"] * 6000),
    ],
)
def test_of_a_line_that_is_no_event_nothing_is_kept_that_may_be_one(value: bytes) -> None:
    verdicts = judged(value)
    assert verdicts.rejects
    for reject in verdicts.rejects:
        text = json.dumps([reject.raw, reject.detail])
        assert SECRET not in text
        assert "email" not in text
        assert reject.raw_encoding == "utf-8"


def test_a_name_that_is_also_a_value_leaves_the_event_whole() -> None:
    value = line(metric="phone", subject="phone:17", properties={"kind": "email"})
    found = rejected(value)
    assert (found.reason, json.loads(found.raw)) == ("unknown_metric", json.loads(value))


names = st.sampled_from(["email", "Email", "PHONE", "phones", "region", "a"])
scalar = st.none() | st.booleans() | st.integers() | st.text(max_size=4)


@given(st.dictionaries(names, scalar | st.lists(scalar, max_size=2) | st.dictionaries(names, scalar, max_size=2)))
@settings(deadline=None, max_examples=few(300))
def test_of_a_line_only_the_denied_properties_go(properties: dict[str, Any]) -> None:
    value = line(properties=properties)
    left = {name: found for name, found in properties.items() if name.lower() not in DENIED}
    found = json.loads(line_without(value, DENIED))
    assert {"properties": {}, **found} == {**json.loads(value), "properties": left}


# the setting


@pytest.mark.parametrize("kind", [StreamSettings, JudgeSettings])
def test_names_stand_between_commas_and_their_case_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, kind: type[JudgeSettings]
) -> None:
    assert load(kind).denied_properties == frozenset()
    monkeypatch.setenv("METERLINE_DENIED_PROPERTIES", " Email, phone ,,full name,STRASSE,straße")
    assert load(kind).denied_properties == {"email", "phone", "full name", "strasse"}
    monkeypatch.setenv("METERLINE_DENIED_PROPERTIES", "")
    assert load(kind).denied_properties == frozenset()


def test_a_metric_that_counts_the_values_of_a_denied_property_is_refused() -> None:
    def metric(name: str) -> Metric:
        return Metric.model_validate({"key": "m", "aggregation": "unique_count", "unique_by": name})

    with pytest.raises(RefusedError, match="METERLINE_DENIED_PROPERTIES"):
        check_denied(metric("eMail"), DENIED)
    check_denied(metric("region"), DENIED)
    check_denied(metric("subject"), frozenset({"subject"}))  # the event's own, no property
    check_denied(Metric(key="email", group_by=("email",)), DENIED)
