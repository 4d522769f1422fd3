"""The ledger of runs, topic ``billing.runs``: who does which job for which instant, decided on what is really there.

Every record is written with the turn taken (``audit.log``), so that of several processes one gets a run. A process
that lost a run to another finds out at its next heartbeat; its last word is not written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from meterline_api.billing.jobs.alerts import Alerts, no_alerts
from meterline_api.billing.jobs.context import Outcome
from meterline_api.billing.jobs.due import Patience, is_lost, is_running
from meterline_api.billing.jobs.errors import JobBusyError
from meterline_schemas import topics
from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.audit.log import AuditLog, Decided, Write
from meterline_schemas.billing.run import Job, Run, RunState, encode, read_run
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

_TIMEOUT: Final = 10.0
_CLOSING: Final = 1.0
_MOST_PROBLEMS: Final = 100
_LONGEST: Final = 500  # characters of a problem

Clock = Callable[[], datetime]
Runs = Mapping[Job, Mapping[datetime, Run]]


def utc_now() -> datetime:
    return datetime.now(UTC)


class RunLedger:
    """Safe from several threads and processes. ``audit`` is the audit log of this process; ``alerts`` is what is told
    of a run that has ended, in one transaction with its end.

    Every method raises ``UnavailableError`` where Kafka does not answer; whether it was written is to be read.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        audit: AuditLog,
        patience: Patience,
        clock: Clock = utc_now,
        alerts: Alerts = no_alerts,
    ) -> None:
        self._kafka = kafka
        self._audit = audit
        self._patience = patience
        self._clock = clock
        self._alerts = alerts
        self._lock = threading.Lock()
        self._log: KafkaLog | None = None
        self._runs: dict[Job, dict[datetime, Run]] = {job: {} for job in Job}

    def read(self) -> Runs:
        """All runs as they are, by job and instant."""
        return self._current()

    def claim(self, job: Job, due: datetime, owner: str, author: Author | None = None) -> Run:
        """The run of a job for an instant. It is the caller's to do where it names ``owner``, which none had before.

        Otherwise it is done, or is being done by another. One that failed, or whose owner is silent, is claimed anew;
        runs for earlier instants whose owners are silent become lost with it. ``author`` is who asked for it, for the
        audit log; None: the schedule did.

        Raises:
            JobBusyError: the job is being done for another instant.
        """
        found: list[Run] = []

        def decide() -> Decided:
            runs, now = self._current()[job], self._clock()
            there = runs.get(due)
            if there is not None and (there.state is RunState.DONE or is_running(there, now, self._patience)):
                found[:] = [there]  # it may be our own, of a commit that nobody knew the outcome of
                return (), ()
            for other in runs.values():
                if is_running(other, now, self._patience):
                    raise JobBusyError(other)
            run = Run(job, due, RunState.RUNNING, owner, now, now, asked_by=author.actor if author else "")
            found[:] = [run]
            lost = [
                msgspec.structs.replace(other, state=RunState.LOST, ended_at=now)
                for other in runs.values()
                if other.state is RunState.RUNNING and other.due < due
            ]
            return [_write(each) for each in (*lost, run)], [] if author is None else [_draft(run, author)]

        self._audit.write(decide)
        return found[0]

    def beat(self, run: Run, progress: Mapping[str, str] | None = None) -> bool:
        """Say that a run is being done, and its numbers so far; False where it is no longer the caller's."""
        so_far = dict(progress or {})
        return self._replace(run, lambda now: [_write(msgspec.structs.replace(run, seen_at=now, result=so_far))])

    def finish(self, run: Run, outcome: Outcome, *, failed: bool = False) -> bool:
        """Say what came of a run; False where it is no longer the caller's, and nothing was written."""
        problems = tuple(problem[:_LONGEST] for problem in outcome.problems[:_MOST_PROBLEMS])
        if len(outcome.problems) > _MOST_PROBLEMS:
            problems += (f"and {len(outcome.problems) - _MOST_PROBLEMS} more",)

        def ended(now: datetime) -> Sequence[Write]:
            state = RunState.FAILED if failed else RunState.DONE
            result = dict(outcome.result)
            last = msgspec.structs.replace(
                run, state=state, seen_at=now, ended_at=now, result=result, problems=problems
            )
            return [_write(last), *self._alerts(last)]

        return self._replace(run, ended)

    def shown(self, run: Run) -> Run:
        """A run for people: one whose owner is silent is lost, though no record says so yet."""
        if is_lost(run, self._clock(), self._patience):
            return msgspec.structs.replace(run, state=RunState.LOST)
        return run

    def close(self) -> None:
        """Free the connection, unless somebody waits for Kafka on it; it may be read again."""
        if self._lock.acquire(timeout=_CLOSING):
            try:
                self._let_go()
            finally:
                self._lock.release()

    def _replace(self, run: Run, made: Callable[[datetime], Sequence[Write]]) -> bool:
        ours = False

        def decide() -> Decided:
            nonlocal ours
            there = self._current()[run.job].get(run.due)
            ours = there is not None and there.owner == run.owner and there.state is not RunState.LOST
            if there is None or not ours or there.state is not RunState.RUNNING:
                return (), ()
            return made(self._clock()), ()

        self._audit.write(decide)
        return ours

    def _current(self) -> Runs:
        """Up to the end of the topic; only what came since the last time is read."""
        with self._lock:
            try:
                if self._log is None:
                    topic = self._kafka.topic(topics.RUNS)
                    self._log = KafkaLog(self._kafka.client(), topic, 0, timeout=_TIMEOUT)
                    self._runs = {job: {} for job in Job}
                for record in self._audit.past_ours(self._log, topics.RUNS):  # what was begun here is seen here
                    self._apply(record)
            except UnavailableError:
                self._let_go()
                raise
            return {job: dict(runs) for job, runs in self._runs.items()}

    def _apply(self, record: Record) -> None:
        if record.value is None:
            return
        try:
            run = read_run(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error("offset %d of %s is no run and is left out: %s", record.offset, topics.RUNS, error)
            return
        self._runs[run.job][run.due] = run

    def _let_go(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def _write(run: Run) -> Write:
    return Write(topics.RUNS, 0, run.key, encode(run))


def _draft(run: Run, author: Author) -> Draft:
    return Draft(author=author, action="billing_run.started", resource_type="billing_run", resource_id=run.key.decode())
