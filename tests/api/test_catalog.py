"""The catalog in memory follows the topic, and bad records do not end it."""

from __future__ import annotations

import pytest

from meterline_api.catalog import Catalog
from meterline_schemas.catalog import PARTITION_COUNT_KEY, Aggregation, Metric, Quota
from meterline_schemas.kafka_tail import Followed

FIRST = Metric(key="orders", unit="order", aggregation=Aggregation.COUNT)


def records(*pairs: tuple[bytes | None, bytes | None], start: int = 0) -> list[Followed]:
    return [Followed("meterline.config", 0, offset, *pair) for offset, pair in enumerate(pairs, start)]


def test_the_newest_definition_stands() -> None:
    catalog = Catalog()
    catalog.apply(records((FIRST.record_key, FIRST.encode())))
    second = Metric(key="orders", unit="piece")
    catalog.apply(records((second.record_key, second.encode())))
    assert catalog.metric("orders") == second
    assert catalog.metric("other") is None


def test_a_deleted_metric_is_still_answered() -> None:
    catalog = Catalog()
    catalog.apply(records((FIRST.record_key, FIRST.encode()), (FIRST.record_key, None)))
    assert catalog.metric("orders") == FIRST.model_copy(update={"retired": True})
    assert catalog.find(Metric, "orders") is None
    assert list(catalog.all(Metric)) == []
    catalog.apply(records((FIRST.record_key, FIRST.encode())))
    assert list(catalog.all(Metric)) == [FIRST]


def test_a_book_that_somebody_reads_never_changes() -> None:
    catalog = Catalog()
    quota = Quota.model_validate({"metric": "orders", "included": 5})
    catalog.apply(records((FIRST.record_key, FIRST.encode())))
    before = catalog.book
    catalog.apply(records((quota.record_key, quota.encode()), (FIRST.record_key, None)))
    assert before.keys() == {("metric", "orders")}
    assert before.metrics["orders"] == FIRST
    assert catalog.book.find(Quota, quota.identity) == quota


def test_the_partition_count_is_kept() -> None:
    catalog = Catalog()
    catalog.apply(records((PARTITION_COUNT_KEY, b'{"partitions":8}')))
    assert catalog.partitions == 8


@pytest.mark.parametrize("value", [b"", b"{", b"{}", b'{"key":"a b"}', b'{"key":"x","aggregation":"median"}', b"\xff"])
def test_a_record_that_cannot_be_read_changes_nothing(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog()
    catalog.apply(records((FIRST.record_key, FIRST.encode())))
    catalog.apply(
        records((FIRST.record_key, value), (PARTITION_COUNT_KEY, value), (None, value), (b"plan/x", value), start=7)
    )
    assert catalog.metric("orders") == FIRST
    assert catalog.partitions == 0
    assert "record 7" in caplog.text
