"""Runs done by this process: each is claimed, carried out with a heartbeat, and told of."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

from meterline_api.billing.jobs.context import JobFunction, Outcome, RunContext
from meterline_api.billing.jobs.errors import JobMissingError, RunLostError
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_api.storage.thread import in_thread
from meterline_schemas.audit.entry import Author
from meterline_schemas.billing.run import Job, Run
from meterline_schemas.errors import MeterlineError, UnavailableError

log = logging.getLogger(__name__)

_BEATS: Final = 4  # heartbeats in the time after which a run is lost
_PAUSE: Final = 5.0  # seconds before Kafka is tried again for an outcome
_TOLD: Final = 20  # problems that the log names


class Runner:
    """``functions`` are the jobs that this process can do. For one event loop."""

    def __init__(self, ledger: RunLedger, functions: Mapping[Job, JobFunction], lost_after: float) -> None:
        self._ledger = ledger
        self._functions = functions
        self._every = lost_after / _BEATS
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(job for job in Job if job in self._functions)

    def function(self, job: Job) -> JobFunction:
        """Raises JobMissingError."""
        if job not in self._functions:
            raise JobMissingError(job)
        return self._functions[job]

    async def begin(self, job: Job, due: datetime, author: Author | None = None) -> Run:
        """The run of a job for an instant, begun here unless it is done, or being done, already.

        Raises:
            JobMissingError: this process cannot do it.
            JobBusyError: the job is being done for another instant.
            UnavailableError: Kafka does not answer.
        """
        function = self.function(job)
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        run = await in_thread(lambda: self._ledger.claim(job, due, owner, author))
        if run.owner == owner:
            task = asyncio.create_task(self._carry_out(run, function), name=f"billing {job}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return run

    async def dry_run(self, job: Job, due: datetime) -> Outcome:
        """What a run would do. Nothing is claimed and nothing written.

        Raises:
            JobMissingError: this process cannot do it.
            MeterlineError: of the function.
        """
        return await self.function(job)(RunContext(job, due, dry_run=True))

    async def idle(self) -> None:
        """Wait until what was begun here has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def stop(self) -> None:
        """Leave what is running: another process, or this one when it is started again, takes it over."""
        for task in set(self._tasks):
            task.cancel()

    async def _carry_out(self, run: Run, function: JobFunction) -> None:
        log.info("%s for %s begins", run.job, run.due.isoformat())
        beat = _Beat(self._ledger, run, self._every)
        context = RunContext(run.job, run.due, heartbeat=beat.soon, progress=beat.progress)
        work = asyncio.ensure_future(function(context))
        beating = asyncio.create_task(beat.keep(work))
        try:
            outcome, failed = await self._outcome(run, work, beat)
            ours = await self._finish(run, outcome, failed=failed)
        except RunLostError as error:
            log.warning("%s", error)
            return
        finally:
            work.cancel()
            beating.cancel()
        if not ours:
            log.warning("%s", RunLostError(run))
            return
        for problem in outcome.problems[:_TOLD]:
            log.error("%s for %s: %s", run.job, run.due.isoformat(), problem)
        numbers = ", ".join(f"{name} {number}" for name, number in outcome.result.items())
        log.info("%s for %s %s: %s", run.job, run.due.isoformat(), "failed" if failed else "is done", numbers)

    async def _outcome(self, run: Run, work: asyncio.Future[Outcome], beat: _Beat) -> tuple[Outcome, bool]:
        """What came of it, and whether it failed. Raises RunLostError where another does it."""
        try:
            return await work, False
        except asyncio.CancelledError:
            if beat.lost:
                raise RunLostError(run) from None
            raise
        except RunLostError:
            raise
        except MeterlineError as error:
            return Outcome(problems=[str(error)]), True
        except Exception as error:
            log.exception("%s for %s failed", run.job, run.due.isoformat())
            return Outcome(problems=[f"it failed with {type(error).__name__}; the log of {run.owner} says where"]), True

    async def _finish(self, run: Run, outcome: Outcome, *, failed: bool) -> bool:
        while True:
            try:
                return await in_thread(lambda: self._ledger.finish(run, outcome, failed=failed))
            except UnavailableError as error:
                log.warning("what came of %s for %s cannot be written yet: %s", run.job, run.due.isoformat(), error)
            await asyncio.sleep(_PAUSE)


class _Beat:
    """The heartbeat of one run. While Kafka is away it is taken for granted: nobody can take the run over."""

    def __init__(self, ledger: RunLedger, run: Run, every: float) -> None:
        self._ledger = ledger
        self._run = run
        self._every = every
        self._last = time.monotonic()
        self.lost = False
        self.progress: dict[str, str] = {}

    async def keep(self, work: asyncio.Future[Outcome]) -> None:
        """Beat until the work ends; end it where the run is lost."""
        while not work.done():
            await asyncio.sleep(self._every)
            with suppress(RunLostError):
                await self.soon()
            if self.lost:
                work.cancel()

    async def soon(self) -> None:
        """Beat, unless that was a moment ago. Raises RunLostError."""
        if not self.lost and time.monotonic() - self._last >= self._every / 2:
            self._last = time.monotonic()
            try:
                self.lost = not await in_thread(lambda: self._ledger.beat(self._run, self.progress))
            except MeterlineError as error:
                log.warning("%s for %s goes on without heartbeat: %s", self._run.job, self._run.due.isoformat(), error)
        if self.lost:
            raise RunLostError(self._run)
