"""Jobs on schedule, within each API process: APScheduler says when to look, the ledger says what is due."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from meterline_api.billing.jobs.due import to_do
from meterline_api.billing.jobs.errors import JobBusyError
from meterline_api.billing.jobs.ledger import Clock, RunLedger, utc_now
from meterline_api.billing.jobs.runner import Runner
from meterline_api.billing.jobs.settings import JobSettings
from meterline_api.storage.thread import in_thread
from meterline_schemas.billing.run import Job
from meterline_schemas.errors import MeterlineError

log = logging.getLogger(__name__)

_LOOKS: Final = 2  # in the time after which a run is lost


class Scheduler:
    """Each instant is done by one of the processes that have it. Between instants it looks for what was missed, what
    failed, and runs whose process ended.
    """

    def __init__(self, settings: JobSettings, ledger: RunLedger, runner: Runner, clock: Clock = utc_now) -> None:
        self._settings = settings
        self._ledger = ledger
        self._runner = runner
        self._clock = clock
        self._turn = asyncio.Lock()
        self._trouble = ""
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    @property
    def scheduled(self) -> tuple[Job, ...]:
        """The jobs that this process does by itself."""
        return tuple(job for job in self._runner.jobs if self._settings.schedule(job)) if self._settings.enabled else ()

    def start(self) -> None:
        """Begin, in the running event loop; what was missed is begun at once."""
        missing = [job for job in Job if job not in self.scheduled]
        log.info("billing's jobs on schedule: %s; not: %s", _named(self.scheduled), _named(missing))
        if not self.scheduled:
            return
        more = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        for job in self.scheduled:
            self._scheduler.add_job(self.look, self._settings.fires(job), name=str(job), **more)
        every = IntervalTrigger(seconds=self._settings.lost_after.total_seconds() / _LOOKS, timezone=UTC)
        self._scheduler.add_job(self.look, every, name="look", next_run_time=datetime.now(UTC), **more)
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def look(self) -> None:
        """Begin what is to be done at this moment. It does not wait for what it began."""
        async with self._turn:
            try:
                await self._look()
            except asyncio.CancelledError:  # the process ends
                return
            except MeterlineError as error:
                if str(error) != self._trouble:
                    log.warning("billing's jobs wait: %s", error)
                self._trouble = str(error)
            else:
                self._trouble = ""

    async def _look(self) -> None:
        runs, now = await in_thread(self._ledger.read), self._clock()
        for job in self._runner.jobs:
            fires = self._settings.fires(job) if job in self.scheduled else None
            instant = to_do(fires, runs[job], now, self._settings.patience)
            if instant is not None:
                try:
                    await self._runner.begin(job, instant)
                except JobBusyError:  # it came to be since
                    log.debug("%s is being done by another", job)


def _named(jobs: tuple[Job, ...] | list[Job]) -> str:
    return ", ".join(jobs) or "none"
