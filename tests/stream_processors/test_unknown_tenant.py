"""Whose events count, by values alone: everybody's, or those of the tenants that the catalog lists."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any

import pytest

from meterline_schemas import topics
from meterline_schemas.catalog import Book, Metric, Tenant
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import JudgeSettings, UnknownTenant, load
from meterline_streams.judge import Judge, SourceRecord, Verdicts, instant
from meterline_streams.memory import PartitionMemory
from meterline_streams.settings import StreamSettings
from tests.stream_processors.test_memory import LIMITS
from tests.stream_processors.test_plain import BOUNDS, METRICS, NOW

LISTED = {"acme": None}.keys()


def line(**changed: Any) -> bytes:
    fields = {"id": "1", "tenant_id": "acme", "metric": "b", "quantity": 1, "timestamp": instant(NOW).isoformat()}
    return json.dumps({**fields, **changed}).encode()


def judged(*lines: bytes, tenants: Set[str] | None, partitions: int = 1) -> Verdicts:
    record = SourceRecord(7, b"\n".join(lines), NOW, NOW, hopped=False)
    verdicts = Verdicts()
    Judge("usage.events", 0, partitions).judge(record, 5, BOUNDS, METRICS, verdicts, tenants)
    return verdicts


def test_an_event_of_an_unknown_tenant_is_rejected_with_its_place_and_what_to_do() -> None:
    verdicts = judged(line(), line(id="2", tenant_id="stranger"), line(id="3"), tenants=LISTED)
    assert [event.id for event in verdicts.candidates] == ["1", "3"]
    (reject,) = verdicts.rejects
    assert (reject.kafka_topic, reject.kafka_partition, reject.kafka_offset, reject.kafka_line) == (
        "usage.events", 0, 7, 1,
    )  # fmt: skip
    assert (reject.reason, reject.tenant_id, reject.metric, reject.id) == ("unknown_tenant", "stranger", "b", "2")
    assert reject.raw.encode() == line(id="2", tenant_id="stranger")
    assert "'stranger' is not defined; define it" in reject.detail
    assert "replay" in reject.detail


def test_without_a_list_everybody_counts_and_with_an_empty_one_nobody() -> None:
    assert len(judged(line(tenant_id="stranger"), tenants=None).candidates) == 1
    assert [reject.reason for reject in judged(line(), tenants=set()).rejects] == ["unknown_tenant"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"quantity": True}, "invalid_event"),
        ({"id": "\x01"}, "invalid_event"),
        ({"quantity": "1e18"}, "quantity_out_of_range"),
        ({"metric": "never defined"}, "unknown_tenant"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "unknown_tenant"),
        ({"quantity": -1}, "unknown_tenant"),
    ],
)
def test_what_is_wrong_of_itself_is_told_first_and_what_the_catalog_says_after_the_tenant(
    changed: dict[str, Any], reason: str
) -> None:
    verdicts = judged(line(**{"tenant_id": "stranger", **changed}), tenants=LISTED)
    assert [reject.reason for reject in verdicts.rejects] == [reason]


def test_an_unknown_tenant_of_another_partition_is_judged_there() -> None:
    strangers = [line(tenant_id=f"stranger-{number}") for number in range(20)]
    verdicts = judged(*strangers, tenants=LISTED, partitions=3)
    assert len(verdicts.rejects) + len(verdicts.forwards) == 20
    assert verdicts.forwards
    assert {reject.reason for reject in verdicts.rejects} == {"unknown_tenant"}


def test_a_batch_is_judged_again_once_its_tenant_is_known_and_counts_once() -> None:
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    metrics = {"b": Metric(key="b")}
    records = [SourceRecord(0, line() + b"\n" + line(id="2", tenant_id="new"), NOW, NOW, hopped=False)]
    first = memory.judge(records, metrics, LISTED)
    assert first.names_unknown
    again = memory.judge(records, metrics, {"acme", "new"})
    assert not again.names_unknown
    counted = memory.fold(again, 1)
    assert ([event.id for event in counted.accepted], counted.rejects) == (["1", "2"], [])
    assert memory.watermark.accepted == 2
    assert not memory.judge(records, metrics).names_unknown


def test_a_tenant_is_known_as_long_as_the_catalog_lists_it() -> None:
    book = Book()
    refusing, accepting = JudgeSettings(unknown_tenant=UnknownTenant.REJECT), JudgeSettings()
    entry = Tenant(id="a/b")
    assert book.apply(entry.record_key, entry.encode()) is None
    assert refusing.counted(book.tenants) == {"a/b"}
    assert accepting.counted(book.tenants) is None
    before, changed = book.tenants, book.copy()
    assert changed.apply(entry.record_key, None) is None
    assert refusing.counted(changed.tenants) == set()
    assert before == {"a/b"}  # what is being judged by does not change


# the setting


@pytest.mark.parametrize("kind", [StreamSettings, JudgeSettings])
def test_another_word_is_told_with_those_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, kind: type[JudgeSettings]
) -> None:
    assert load(kind).unknown_tenant is UnknownTenant.ACCEPT
    for word in UnknownTenant:
        monkeypatch.setenv("METERLINE_UNKNOWN_TENANT", word)
        assert load(kind).unknown_tenant is word
    monkeypatch.setenv("METERLINE_UNKNOWN_TENANT", "ignore")
    with pytest.raises(ConfigurationError, match="METERLINE_UNKNOWN_TENANT: Input should be 'accept' or 'reject'"):
        load(kind)
