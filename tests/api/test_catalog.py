"""The catalog in memory follows the topic, and bad records do not end it."""

from __future__ import annotations

import pytest

from meterline_api.catalog import Catalog
from meterline_schemas.catalog import PARTITION_COUNT_KEY, Aggregation, Metric
from meterline_schemas.kafka_log import Record

FIRST = Metric(key="orders", unit="order", aggregation=Aggregation.COUNT)


def test_the_newest_definition_stands() -> None:
    catalog = Catalog()
    catalog.apply(Record(0, FIRST.record_key, FIRST.encode()))
    second = Metric(key="orders", unit="piece")
    catalog.apply(Record(1, second.record_key, second.encode()))
    assert catalog.metric("orders") == second
    assert catalog.metric("other") is None


def test_a_deleted_metric_is_still_answered() -> None:
    catalog = Catalog()
    catalog.apply(Record(0, FIRST.record_key, FIRST.encode()))
    catalog.apply(Record(1, FIRST.record_key, None))
    assert catalog.metric("orders") == FIRST


def test_the_partition_count_is_kept() -> None:
    catalog = Catalog()
    catalog.apply(Record(0, PARTITION_COUNT_KEY, b'{"partitions":8}'))
    assert catalog.partitions == 8


@pytest.mark.parametrize("value", [b"", b"{", b"{}", b'{"key":"a b"}', b'{"key":"x","aggregation":"median"}', b"\xff"])
def test_a_record_that_cannot_be_read_changes_nothing(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog()
    catalog.apply(Record(0, FIRST.record_key, FIRST.encode()))
    catalog.apply(Record(7, FIRST.record_key, value))
    catalog.apply(Record(8, PARTITION_COUNT_KEY, value))
    catalog.apply(Record(9, None, value))
    assert catalog.metric("orders") == FIRST
    assert catalog.partitions == 0
    assert "record 7" in caplog.text
