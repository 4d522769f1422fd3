"""Counters in memory follow the topic, each on the partition that its tenant is at home on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from meterline_api.quotas.counters import Counters
from meterline_api.quotas.follower import Follower
from meterline_schemas.counter import Counter
from meterline_schemas.kafka_tail import KafkaTail
from meterline_schemas.partitioning import partition_of
from tests.api.counters import counter, write
from tests.support.streams import wait_until

PARTITIONS = 4
START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def one(tenant_id: str = "acme", amount: str = "1", **more: object) -> Counter:
    return counter(tenant_id, PARTITIONS, start=START, end=END, count=1, sum=amount, **more)


def put(counters: Counters, *found: Counter) -> None:
    for each in found:
        assert counters.apply(each.kafka_partition, each.key.record_key(), msgspec.json.encode(each)) is None


def test_the_newest_counter_stands_until_it_is_deleted() -> None:
    counters = Counters(PARTITIONS)
    put(counters, one(amount="1"), one(amount="2"), one("other", subject="user:1"))
    assert counters.find(one().key) == one(amount="2")
    assert counters.find(one("other").key) is None
    counters.apply(one().kafka_partition, one().key.record_key(), None)
    assert counters.find(one().key) is None
    assert counters.find(one("other", subject="user:1").key) is not None


def test_only_the_partition_that_a_tenant_is_at_home_on_has_its_counter() -> None:
    counters = Counters(PARTITIONS)
    put(counters, one(amount="1"))
    elsewhere = (partition_of("acme", PARTITIONS) + 1) % PARTITIONS
    assert counters.apply(elsewhere, one().key.record_key(), msgspec.json.encode(one(amount="9"))) is None
    assert counters.find(one().key) == one(amount="1")
    assert counters.apply(elsewhere, one().key.record_key(), None) is None
    assert counters.find(one().key) == one(amount="1")


def test_what_lacks_earlier_usage_is_known_until_it_is_complete_or_deleted() -> None:
    counters = Counters(PARTITIONS)
    first, other, new = (
        one(complete=False, since=7),
        one("other", complete=False, since=8),
        one("new", complete=False, since=0),
    )
    put(counters, first, other, new)
    assert counters.incomplete() == [first, other]
    put(counters, one(since=7))
    counters.apply(other.kafka_partition, other.key.record_key(), None)
    assert counters.incomplete() == []


@pytest.mark.parametrize("key", [None, b"", b"[]", b'["a","b","c","d","yesterday"]', b"\xff"])
def test_a_record_with_another_key_changes_nothing_and_says_why(key: bytes | None) -> None:
    counters = Counters(PARTITIONS)
    assert counters.apply(0, key, msgspec.json.encode(one()))
    assert counters.find(one().key) is None


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b"\xff", b'{"tenant_id":1}'])
def test_a_record_that_cannot_be_read_leaves_the_counter_as_it_was(value: bytes) -> None:
    counters = Counters(PARTITIONS)
    put(counters, one())
    assert counters.apply(one().kafka_partition, one().key.record_key(), value)
    assert counters.find(one().key) == one()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def follower(kafka: str, topics: str, counters: Counters) -> Iterator[Follower]:
    tail = KafkaTail({"bootstrap.servers": kafka}, [topics + "usage.counters"])
    thread = Follower(counters, tail, lambda: PARTITIONS)
    yield thread
    thread.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_counters_are_followed_as_they_are_written(
    kafka: str, topics: str, counters: Counters, follower: Follower
) -> None:
    there = [one(f"tenant-{number}") for number in range(50)]
    write(kafka, topics, *there)
    assert not follower.ready
    follower.start()
    wait_until(lambda: follower.ready, 30, "everything that was there has been read")
    assert [counters.find(each.key) for each in there] == there
    assert follower.trouble == ""
    write(kafka, topics, one("tenant-7", amount="8"))
    wait_until(lambda: counters.find(one("tenant-7").key) == one("tenant-7", amount="8"), 30, "the change is seen")
    write(kafka, topics, one("tenant-7"), tombstones=True)
    wait_until(lambda: counters.find(one("tenant-7").key) is None, 30, "the deletion is seen")


def test_nothing_is_read_before_it_is_known_who_is_at_home_where(kafka: str, topics: str, counters: Counters) -> None:
    write(kafka, topics, one())
    known = [0]
    follower = Follower(
        counters, KafkaTail({"bootstrap.servers": kafka}, [topics + "usage.counters"]), lambda: known[0]
    )
    follower.start()
    try:
        follower.join(0.3)
        assert not follower.ready
        assert follower.trouble
        known[0] = PARTITIONS
        wait_until(lambda: follower.ready, 30, "the counters are read")
        assert counters.find(one().key) == one()
    finally:
        follower.stop()
        follower.join(10)


def test_without_its_topic_it_says_what_to_do_and_goes_on(
    kafka: str, prefix: str, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(counters, KafkaTail({"bootstrap.servers": kafka}, [prefix + "usage.counters"]), lambda: 4)
    follower.start()
    try:
        wait_until(lambda: "meterline setup" in follower.trouble, 30, "the trouble is told")
        assert not follower.ready
        assert caplog.text.count("meterline setup") == 1
    finally:
        follower.stop()
        follower.join(10)
