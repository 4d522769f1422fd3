"""Writing the audit log on a real broker: one chain, whoever writes, and never a change without its entry."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic

from meterline_schemas import topics
from meterline_schemas.audit.chain import Break, Chain
from meterline_schemas.audit.entry import GENESIS, AuditEntry, Author, Draft, decode
from meterline_schemas.audit.log import TRANSACTIONAL_ID, AuditLog, process_author
from meterline_schemas.catalog import Metric, Quota, RefusedError, Tenant, changes
from meterline_schemas.catalog.store import Store
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings
from tests.support import cluster
from tests.support.processes import Started
from tests.support.streams import wait_until

ROOT = Author("root", "203.0.113.7", "req-1")
REVIEWS = Metric(key="reviews", unit="review")


@pytest.fixture
def settings(kafka: str, prefix: str) -> KafkaSettings:
    names = (topics.AUDIT, topics.CONFIG)
    made = cluster.admin(kafka).create_topics([NewTopic(prefix + name, 1, 1) for name in names])
    for each in made.values():
        each.result(30)
    return KafkaSettings(kafka=kafka, topic_prefix=prefix)


def draft(resource_id: str = "") -> Draft:
    return Draft(author=ROOT, action="export.generated", resource_type="usage", resource_id=resource_id)


def look(settings: KafkaSettings) -> tuple[list[AuditEntry], list[Break]]:
    """Everything that is in the topic, once all that was committed can be read, which an answer does not wait for."""
    turn = Producer({**settings.client(log_level=0), "transactional.id": settings.topic(TRANSACTIONAL_ID)})
    turn.init_transactions(30)
    chain, breaks, entries = Chain(), list[Break](), list[AuditEntry]()
    with closing(KafkaLog(settings.client(), settings.topic(topics.AUDIT), 0)) as log:
        for record in log.read_to_end():
            breaks += chain.add(record.offset, record.value)
            entries.append(decode(record.value or b""))
    return entries, breaks


def entries_of(settings: KafkaSettings) -> list[AuditEntry]:
    entries, breaks = look(settings)
    assert breaks == []
    return entries


def test_a_change_has_its_entry_with_who_what_before_and_after(settings: KafkaSettings) -> None:
    store = Store(settings)
    store.change(lambda book: [(changes.create(book, REVIEWS), False)], ROOT)
    store.change(lambda book: [(changes.update(book, Metric, "reviews", {"name": "Reviews"}), False)], ROOT)
    store.change(lambda book: [(changes.check(book, book.metrics["reviews"]), False)], ROOT)
    store.change(lambda book: [(changes.delete(book, Metric, "reviews", has_usage=False), True)])
    with pytest.raises(RefusedError):
        store.change(lambda book: [(changes.delete(book, Metric, "reviews", has_usage=False), True)], ROOT)
    created, updated, deleted = entries_of(settings)
    assert [each.action for each in (created, updated, deleted)] == [
        "metric.created",
        "metric.updated",
        "metric.deleted",
    ]
    assert (created.actor, created.origin, created.request_id) == ("root", "203.0.113.7", "req-1")
    assert (created.seq, created.previous, bytes(created.before)) == (1, GENESIS, b"null")
    assert b'"name":"Reviews"' in bytes(updated.after)
    assert updated.before == created.after
    assert deleted.actor == process_author().actor, "a command is done by the user who runs it"
    assert deleted.actor.startswith("cli:")


def test_one_change_of_several_entries_is_one_of_each_in_the_log(settings: KafkaSettings) -> None:
    tenants = [(Tenant(id=f"t{number}"), False) for number in range(40)]
    Store(settings).change(lambda _book: tenants, ROOT)
    assert [each.resource_id for each in entries_of(settings)] == [f"t{number}" for number in range(40)]


def test_the_log_goes_on_where_another_writer_left_it(settings: KafkaSettings) -> None:
    one, other = AuditLog(settings), AuditLog(settings)
    assert one.head() is None
    for number in range(3):
        assert one.append(draft(f"one-{number}"))[0].seq == 3 * number + 1
        assert [each.seq for each in other.append(draft("a"), draft("b"))] == [3 * number + 2, 3 * number + 3]
    entries = entries_of(settings)
    assert len(entries) == 9
    assert one.head() == other.head() == entries[-1]


def test_the_end_is_found_behind_many_transactions_that_came_to_nothing(settings: KafkaSettings) -> None:
    AuditLog(settings).append(draft("first"))
    producer = Producer({**settings.client(), "transactional.id": settings.topic("other"), "linger.ms": 0})
    producer.init_transactions(30)
    for _ in range(50):
        producer.begin_transaction()
        producer.produce(settings.topic(topics.AUDIT), b"{}", partition=0)
        producer.flush(30)
        producer.abort_transaction(30)
    (entry,) = AuditLog(settings).append(draft("second"))
    assert entry.seq == 2
    assert len(entries_of(settings)) == 2


def test_a_forged_record_at_the_end_is_not_followed(settings: KafkaSettings) -> None:
    first, _second = AuditLog(settings).append(draft("first"), draft("second"))
    producer = Producer({**settings.client(), "linger.ms": 0})
    producer.produce(settings.topic(topics.AUDIT), first.encode(), partition=0)
    producer.produce(settings.topic(topics.AUDIT), b"no entry", partition=0)
    assert producer.flush(30) == 0
    (entry,) = AuditLog(settings).append(draft("third"))
    assert entry.seq == 3


@pytest.mark.parametrize("committed", [True, False])
def test_an_entry_whose_commit_is_answered_neither_way_is_written_once(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    failing = [True]

    class Unsure(Producer):  # type: ignore[misc]
        def commit_transaction(self, *arguments: Any) -> None:
            failed = failing.pop() if failing else False
            if not failed or committed:
                super().commit_transaction(*arguments)
            if failed:
                for number in range(100):  # the next writers come in between
                    others.append(draft(f"other-{number}"))
                raise KafkaException(KafkaError(KafkaError.UNKNOWN))

    others = AuditLog(settings)
    log = AuditLog(settings)
    monkeypatch.setattr("meterline_schemas.audit.log.Producer", Unsure)
    (entry,) = log.append(draft("ours"))
    found = [each for each in entries_of(settings) if each.resource_id == "ours"]
    assert found == [entry]


def test_what_is_too_large_is_told_and_the_next_is_written(settings: KafkaSettings) -> None:
    log = AuditLog(settings)
    with pytest.raises(UnavailableError, match="too large"):
        log.append(Draft(author=ROOT, action="a", resource_type="r", details={"x": "y" * 2_000_000}))
    assert log.append(draft("next"))[0].seq == 1
    assert len(entries_of(settings)) == 1


class Writers:
    """Processes that write until they are killed, and what each said that was acknowledged."""

    def __init__(self, settings: KafkaSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._running: dict[str, Started] = {}

    def start(self, name: str) -> None:
        self._running[name] = Started(
            "tests.schemas.processes.audit_writer",
            *(self._settings.kafka, self._settings.topic_prefix, name),
            environment=os.environ,
            out=self._folder / name,
            err=self._folder / f"{name}.err",
        )

    def said(self, name: str) -> list[str]:
        lines = (self._folder / name).read_bytes().split(b"\n")
        return [line.decode() for line in lines[:-1]]

    def wait_for(self, name: str, count: int) -> None:
        def enough() -> bool:
            assert self._running[name].poll() is None, (self._folder / f"{name}.err").read_text()
            kinds = Counter(line[0] for line in self.said(name))
            return min(kinds["r"], kinds["t"]) >= count

        wait_until(enough, 60, lambda: f"{name} writes, and said {len(self.said(name))}")

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def close(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def writers(settings: KafkaSettings, tmp_path: Path) -> Iterator[Writers]:
    made = Writers(settings, tmp_path)
    yield made
    made.close()


def test_writers_side_by_side_and_kill_9_leave_one_chain_with_each_acknowledged_change_once(
    settings: KafkaSettings, writers: Writers
) -> None:
    names = ["steady", *(f"killed{number}" for number in range(4))]
    writers.start("steady")
    chance = random.Random(7)
    for name in names[1:]:
        writers.start(name)
        writers.wait_for(name, 2)
        time.sleep(chance.uniform(0, 0.1))  # not for luck: a kill may meet any step
        writers.kill(name)
    writers.wait_for("steady", len(writers.said("steady")) // 2 + 1)
    writers.kill("steady")

    Store(settings).change(lambda _book: [(Tenant(id="last"), False)], ROOT)
    entries = entries_of(settings)
    reported = Counter(each.resource_id for each in entries if each.action == "report")
    created = Counter(each.resource_id for each in entries if each.action == "tenant.created")
    assert {*reported.values(), *created.values()} == {1}
    for name in names:
        for line in writers.said(name):
            kind, _, id = line.partition(" ")
            assert (reported if kind == "r" else created)[id] == 1, line
    assert set(created) == {tenant.id for tenant in Store(settings).read().all(Tenant)}, "no change without its entry"
    parts = Counter(id[:-2] for id in reported)
    assert set(parts.values()) == {3}, "what is written at once is there whole"


def test_a_refused_quota_leaves_no_entry(settings: KafkaSettings) -> None:
    quota = Quota.model_validate({"metric": "unknown", "included": 5})
    with pytest.raises(RefusedError, match="define the metric first"):
        Store(settings).change(lambda book: [(Tenant(id="a"), False), (changes.create(book, quota), False)], ROOT)
    assert entries_of(settings) == []
