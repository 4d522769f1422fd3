"""The schedule and the carrying out of runs, on a real broker; the clock is given, and the scheduler asked to look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meterline_api.billing.jobs.context import JobFunction, Outcome, RunContext
from meterline_api.billing.jobs.errors import JobMissingError, RunLostError
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_api.billing.jobs.runner import Runner
from meterline_api.billing.jobs.scheduler import Scheduler
from meterline_api.billing.jobs.settings import JobSettings
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.jobs.keyed import KEYS, Keyed, kept

NOW = datetime(2026, 11, 22, 10, 45, tzinfo=UTC)
HALF_PAST = NOW.replace(minute=30)
LOST_AFTER = 0.2  # seconds of real time, by which heartbeats go


class Office:
    """A process's schedule, ledger and runner, and a ledger as another process has it."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.now = NOW
        self._kafka = KafkaSettings(kafka=kafka, topic_prefix=prefix)
        self._logs = AuditLog(self._kafka), AuditLog(self._kafka)
        self.settings = JobSettings()
        self.ledger, self.other = (
            RunLedger(self._kafka, log, self.settings.patience, lambda: self.now) for log in self._logs
        )
        self.runner = Runner(self.ledger, {}, LOST_AFTER)

    def at_work(self, function: JobFunction, work: Callable[[Scheduler], Awaitable[None]]) -> list[Run]:
        """The runs of ``close`` after ``work``, in the order of their instants."""

        async def working() -> None:
            self.runner = Runner(self.ledger, {Job.CLOSE: function}, LOST_AFTER)
            await work(Scheduler(self.settings, self.ledger, self.runner, lambda: self.now))
            await self.runner.idle()

        asyncio.run(working())
        runs = self.other.read()
        assert not any(runs[job] for job in Job if job is not Job.CLOSE)
        return [run for _due, run in sorted(runs[Job.CLOSE].items())]

    def look(self, function: JobFunction, times: int = 1) -> list[Run]:
        async def looking(scheduler: Scheduler) -> None:
            for _ in range(times):
                await scheduler.look()
                await self.runner.idle()

        return self.at_work(function, looking)

    def close(self) -> None:
        for each in (self.ledger, self.other, *self._logs):
            each.close()


@pytest.fixture
def office(place: tuple[str, str]) -> Iterator[Office]:
    made = Office(*place)
    yield made
    made.close()


def test_an_instant_that_was_missed_is_caught_up_once_after_downtime(office: Office, tmp_path: Path) -> None:
    job = Keyed(tmp_path)
    (first,) = office.look(job, times=3)
    assert (first.due, first.state, first.asked_by) == (HALF_PAST, RunState.DONE, "")
    office.now += timedelta(days=3, minutes=5)
    _first, second = office.look(job, times=3)
    assert (second.due, second.state) == (HALF_PAST + timedelta(days=3), RunState.DONE)
    assert second.begun_at == second.ended_at == office.now
    found = {path.name: tuple(kept(path)) for path in tmp_path.iterdir()}
    assert found == {"close-20261122T103000": KEYS, "close-20261125T103000": KEYS}


def test_a_run_that_failed_is_tried_again_after_a_pause(office: Office, tmp_path: Path) -> None:
    job = Keyed(tmp_path)
    (tmp_path / "fail").write_text("ClickHouse does not answer")
    (failed,) = office.look(job, times=2)
    assert (failed.state, failed.problems) == (RunState.FAILED, ("ClickHouse does not answer",))
    assert failed.begun_at == NOW
    (tmp_path / "fail").unlink()
    office.now += timedelta(minutes=10) - timedelta(seconds=1)
    assert office.look(job) == [failed]
    office.now += timedelta(seconds=1)
    (tmp_path / "problem").write_text("tenant acme is on no plan")
    (done,) = office.look(job)
    assert (done.state, done.problems) == (RunState.DONE, ("tenant acme is on no plan",))
    assert done.result == {"appended": "8"}


def test_a_function_that_breaks_fails_its_run_and_tells_where_to_look(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_run: RunContext) -> Outcome:
        raise ZeroDivisionError("a secret")

    (failed,) = office.look(broken)
    assert failed.state is RunState.FAILED
    assert failed.problems == (f"it failed with ZeroDivisionError; the log of {failed.owner} says where",)
    assert "a secret" in caplog.text


def test_a_function_is_stopped_once_another_process_has_its_run(office: Office) -> None:
    stopped = list[str]()

    async def endless(run: RunContext) -> Outcome:
        taken = False
        try:
            while True:
                if not taken:
                    office.now += timedelta(minutes=1)
                    taken = office.other.claim(Job.CLOSE, run.due, "other").owner == "other"
                await asyncio.sleep(0.01)
        finally:
            stopped.append("cancelled")

    (run,) = office.look(endless)
    assert stopped == ["cancelled"]
    assert (run.owner, run.state) == ("other", RunState.RUNNING)


def test_a_function_that_asks_is_told_that_its_run_is_another_processes(office: Office) -> None:
    told = list[RunLostError]()

    async def asking(run: RunContext) -> Outcome:
        await run.heartbeat()
        office.now += timedelta(minutes=1)
        assert office.other.claim(Job.CLOSE, run.due, "other").owner == "other"
        try:
            while True:
                await run.heartbeat()
                await asyncio.sleep(0)
        except RunLostError as error:
            told.append(error)
            raise

    (run,) = office.look(asking)
    assert (run.owner, run.state) == ("other", RunState.RUNNING)
    assert "went on in another process" in str(told[0])


def test_a_run_lives_for_as_long_as_its_process_beats(office: Office) -> None:
    seen = list[datetime]()

    async def long(run: RunContext) -> Outcome:
        for _ in range(3):
            office.now += timedelta(seconds=59)
            while office.other.read()[Job.CLOSE][run.due].seen_at != office.now:
                await asyncio.sleep(0.01)
            seen.append(office.now)
        return Outcome()

    (run,) = office.look(long)
    assert (run.state, len(seen)) == (RunState.DONE, 3)
    assert run.begun_at == NOW


def test_a_job_without_a_function_is_not_scheduled_and_says_so(
    office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def started(scheduler: Scheduler) -> None:
        assert scheduler.scheduled == (Job.CLOSE,)
        scheduler.start()
        with pytest.raises(JobMissingError, match="does not do the job push"):
            await office.runner.begin(Job.PUSH, NOW)
        while [run.state for run in office.other.read()[Job.CLOSE].values()] != [RunState.DONE]:
            await asyncio.sleep(0.01)
        scheduler.stop()

    (run,) = office.at_work(Keyed(tmp_path), started)
    assert (run.due, run.state) == (HALF_PAST, RunState.DONE)
    assert "on schedule: close; not: check-aggregation, push, retry, reconcile" in caplog.text


def test_nothing_is_on_schedule_where_that_is_switched_off(office: Office, tmp_path: Path) -> None:
    office.settings = JobSettings(enabled=False)

    async def started(scheduler: Scheduler) -> None:
        assert scheduler.scheduled == ()
        scheduler.start()
        await scheduler.look()
        scheduler.stop()

    assert office.at_work(Keyed(tmp_path), started) == []
