"""Writing the catalog: one change after the other, whoever makes it, on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from meterline_schemas import topics
from meterline_schemas.catalog import Book, Metric, PartitionCount, Quota, RefusedError, changes
from meterline_schemas.catalog.store import Store
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.notification import Notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import KafkaSettings
from tests.support.streams import Streams

REVIEWS = Metric(key="reviews", unit="review")


@pytest.fixture
def kafka_settings(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    with Streams(kafka, prefix, tmp_path_factory.mktemp("store"), partitions=2):
        yield KafkaSettings(kafka=kafka, topic_prefix=prefix)


def _told(settings: KafkaSettings, partition: int) -> list[Notification]:
    log = KafkaLog(settings.client(), settings.topic(topics.NOTIFICATIONS), partition)
    values = [record.value for record in log.read_to_end()]
    log.close()
    return [msgspec.json.decode(value, type=Notification) for value in values if value is not None]


def test_a_change_has_a_version_and_a_time_and_is_told(kafka_settings: KafkaSettings) -> None:
    store = Store(kafka_settings)
    (first,) = store.change(lambda book: [(changes.create(book, REVIEWS), False)])
    (again,) = store.change(lambda book: [(changes.check(book, REVIEWS), False)])
    (second,) = store.change(lambda book: [(changes.update(book, Metric, "reviews", {"name": "Reviews"}), False)])
    assert (first.version, again.version, second.version) == (1, 1, 2)
    assert again == first, "nothing differed: nothing was written"
    assert first.changed_at is not None
    assert second.changed_at is not None
    assert first.changed_at < second.changed_at
    assert store.read().find(Metric, "reviews") == second
    told = _told(kafka_settings, partition_of("", 2))
    assert [each.type for each in told] == ["metric.defined", "metric.updated"]
    assert msgspec.json.decode(told[1].data)["metric"]["name"] == "Reviews"


def test_what_is_refused_changes_nothing(kafka_settings: KafkaSettings) -> None:
    store = Store(kafka_settings)
    store.change(lambda book: [(changes.create(book, REVIEWS), False)])
    quota = Quota.model_validate({"metric": "unknown", "included": 5})
    with pytest.raises(RefusedError, match="define the metric first"):
        store.change(
            lambda book: [(REVIEWS.model_copy(update={"name": "x"}), False), (changes.create(book, quota), False)]
        )
    found = store.read()
    assert found.metrics["reviews"].name == ""
    assert list(found.all(Quota)) == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_that_is_answered_neither_way_is_written_once(
    kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    answers = [None, KafkaError.UNKNOWN]

    class Unsure(Producer):  # type: ignore[misc]
        def commit_transaction(self, *arguments: Any) -> None:
            code = answers.pop(0) if answers else None
            if code is None or committed:
                super().commit_transaction(*arguments)
            if code is not None:
                raise KafkaException(KafkaError(code))

    monkeypatch.setattr("meterline_schemas.audit.log.Producer", Unsure)
    store = Store(kafka_settings)
    store.change(lambda book: [(changes.create(book, REVIEWS), False)])
    decided = 0

    def more(book: Book) -> list[tuple[Metric, bool]]:
        nonlocal decided
        decided += 1
        found = book.metrics["reviews"]
        return [(changes.update(book, Metric, "reviews", {"description": found.description + "a"}), False)]

    (changed,) = store.change(more)
    assert store.read().find(Metric, "reviews") == changed
    assert (changed.version, decided) == (2, 1 if committed else 2)
    answers[:] = [KafkaError.UNKNOWN]
    store.change(lambda book: [(changes.delete(book, Metric, "reviews", has_usage=False), True)])
    assert "reviews" not in {metric.key for metric in store.read().all(Metric)}


def test_writers_side_by_side_each_see_what_the_other_wrote(kafka_settings: KafkaSettings) -> None:
    Store(kafka_settings).change(lambda book: [(changes.create(book, REVIEWS), False)])
    failures: list[BaseException] = []

    def add(name: str) -> None:
        def decide(book: Book) -> list[tuple[Metric, bool]]:
            found = book.metrics["reviews"]
            return [(changes.update(book, Metric, "reviews", {"description": found.description + name}), False)]

        try:
            Store(kafka_settings).change(decide)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found: list[Metric] = []

    def look(book: Book) -> list[tuple[Metric, bool]]:
        found.append(book.metrics["reviews"])
        return []

    Store(kafka_settings).change(look)  # a plain read may come before the mark of the last commit
    metric = found[-1]
    assert sorted(metric.description) == list("abcd"), "no writer overwrote another's change"
    assert metric.version == 5


def test_the_partition_count_is_left_alone(kafka_settings: KafkaSettings) -> None:
    Store(kafka_settings).change(lambda book: [(changes.create(book, REVIEWS), False)])
    assert Store(kafka_settings).read().partitions == PartitionCount(2).partitions
