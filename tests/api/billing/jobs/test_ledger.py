"""The ledger of runs on a real broker, written by two processes as far as Kafka can tell. Clocks are given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from meterline_api.billing.jobs.context import Outcome
from meterline_api.billing.jobs.due import Patience
from meterline_api.billing.jobs.errors import JobBusyError
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_schemas import topics
from meterline_schemas.audit.entry import Author
from meterline_schemas.audit.entry import decode as read_entry
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.settings import KafkaSettings
from tests.support import cluster

TEN = datetime(2026, 11, 22, 10, tzinfo=UTC)
NINE = TEN - timedelta(hours=1)
PATIENCE = Patience(timedelta(minutes=1), timedelta(minutes=10))


class Desk:
    """Two ledgers with one clock; ``a`` and ``b`` know nothing of each other but what Kafka has."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.now = TEN
        settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
        self._logs = AuditLog(settings), AuditLog(settings)
        self.a, self.b = (RunLedger(settings, log, PATIENCE, lambda: self.now) for log in self._logs)

    def run(self, due: datetime = TEN) -> Run:
        found = self.a.read()[Job.PUSH][due]
        assert found == self.b.read()[Job.PUSH][due]
        return found

    def records(self, topic: str) -> list[bytes]:
        return [message.value() for message in cluster.read_all(self.kafka, self.prefix + topic)]

    def close(self) -> None:
        for each in (self.a, self.b, *self._logs):
            each.close()


@pytest.fixture
def desk(place: tuple[str, str]) -> Iterator[Desk]:
    made = Desk(*place)
    yield made
    made.close()


def test_a_run_is_one_owners_until_it_is_silent_and_its_last_word_then_counts_no_more(desk: Desk) -> None:
    mine = desk.a.claim(Job.PUSH, TEN, "a")
    assert (mine.owner, mine.state) == ("a", RunState.RUNNING)
    desk.now += timedelta(seconds=59)
    assert desk.b.claim(Job.PUSH, TEN, "b") == mine
    assert desk.a.beat(mine)
    desk.now += timedelta(seconds=59)
    assert desk.b.claim(Job.PUSH, TEN, "b").owner == "a"
    assert desk.b.shown(desk.run()).state is RunState.RUNNING

    desk.now += timedelta(seconds=1)
    assert desk.b.shown(desk.run()).state is RunState.LOST
    assert desk.run().state is RunState.RUNNING, "it becomes lost by being replaced"
    theirs = desk.b.claim(Job.PUSH, TEN, "b")
    assert theirs.owner == "b"
    assert not desk.a.beat(mine)
    assert not desk.a.finish(mine, Outcome({"pushed": "1"}))
    assert desk.run() == theirs
    assert desk.b.finish(theirs, Outcome({"pushed": "2"}, ["one was not"]))
    found = desk.run()
    assert (found.state, found.owner, found.result) == (RunState.DONE, "b", {"pushed": "2"})
    assert (found.problems, found.ended_at) == (("one was not",), desk.now)

    desk.now += timedelta(days=1)
    assert desk.a.claim(Job.PUSH, TEN, "again") == found, "what is done stays done"
    assert not desk.a.beat(mine)
    assert desk.run() == found


def test_one_run_of_a_job_at_a_time_and_of_other_jobs_beside_it(desk: Desk) -> None:
    first = desk.a.claim(Job.PUSH, NINE, "a")
    with pytest.raises(JobBusyError, match=r"push is being done for 2026-11-22T09:00:00\+00:00"):
        desk.b.claim(Job.PUSH, TEN, "b")
    assert desk.b.claim(Job.CLOSE, TEN, "b").owner == "b"
    assert desk.a.finish(first, Outcome())
    assert desk.b.claim(Job.PUSH, TEN, "b").owner == "b"


def test_a_run_that_a_later_one_makes_up_for_is_lost_with_its_claim(desk: Desk) -> None:
    before = desk.a.claim(Job.PUSH, NINE, "a")
    desk.now += timedelta(minutes=1)
    assert desk.b.claim(Job.PUSH, TEN, "b").owner == "b"
    assert desk.run(NINE).state is RunState.LOST
    assert not desk.a.beat(before)
    assert not desk.a.finish(before, Outcome({"pushed": "1"}))
    assert (desk.run(NINE).state, desk.run(NINE).result) == (RunState.LOST, {})


def test_a_run_that_failed_is_claimed_anew(desk: Desk) -> None:
    mine = desk.a.claim(Job.PUSH, TEN, "a")
    assert desk.a.finish(mine, Outcome(problems=["x" * 600, *("more" for _ in range(110))]), failed=True)
    found = desk.run()
    assert found.state is RunState.FAILED
    assert found.problems == ("x" * 500, *("more" for _ in range(99)), "and 11 more")
    assert desk.b.claim(Job.PUSH, TEN, "b").owner == "b"


def test_a_run_that_somebody_asked_for_is_in_the_audit_log_with_it_and_no_other(desk: Desk) -> None:
    asked = desk.a.claim(Job.PUSH, TEN, "a", Author("key:finance", "10.0.0.1"))
    assert asked.asked_by == "key:finance"
    desk.b.claim(Job.PUSH, TEN, "b", Author("key:other"))
    desk.b.claim(Job.CLOSE, TEN, "b")
    (entry,) = [read_entry(value) for value in desk.records(topics.AUDIT)]
    assert (entry.actor, entry.action) == ("key:finance", "billing_run.started")
    assert (entry.resource_type, entry.resource_id) == ("billing_run", "push/2026-11-22T10:00:00+00:00")


def test_a_record_that_is_no_run_is_left_out(desk: Desk) -> None:
    producer = cluster.producer(desk.kafka)
    for value in (b"{}", b"\xff", None):
        producer.produce(desk.prefix + topics.RUNS, value, b"push/x")
    assert producer.flush(30) == 0
    assert desk.a.claim(Job.PUSH, TEN, "a").owner == "a"
    assert len(desk.records(topics.RUNS)) == 4
