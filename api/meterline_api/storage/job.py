"""The measure on schedule, within the API process: APScheduler says when, and makes up for an instant missed."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from meterline_api import metrics
from meterline_api.storage.cron import latest, trigger
from meterline_api.storage.desk import Desk
from meterline_schemas.errors import MeterlineError

log = logging.getLogger(__name__)

_PAUSES: Final = (5.0, 30.0, 120.0, 600.0, 1800.0)  # seconds before it is tried again; the last one over and over
_MOST_PARTIAL: Final = 3  # runs for the sake of tenants that cannot be measured
_NOT_READY: Final = 0.5


class Job:
    """One run for each instant of the schedule, by one process or by several: what they count is counted once.

    A process that starts, or wakes, runs for the last instant that is not older than ``grace`` and not done yet. A run
    that fails is tried again for the same instant until the next one, or until ``grace`` is over. It waits until
    ``ready``.
    """

    def __init__(self, desk: Desk, ready: Callable[[], bool]) -> None:
        self._desk = desk
        self._ready = ready
        self._grace = desk.settings.grace
        self._fires = trigger(desk.settings.schedule)
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def start(self) -> None:
        """Begin, in the running event loop."""
        now = datetime.now(UTC)
        self._scheduler.add_job(
            self._run,
            self._fires,
            name="storage",
            next_run_time=self._fires.get_next_fire_time(None, now - self._grace),  # one that was missed runs now
            coalesce=True,
            misfire_grace_time=max(1, int(self._grace.total_seconds())),
            max_instances=1,
        )
        self._scheduler.start()
        following = self._fires.get_next_fire_time(None, now)
        log.info("storage at %s is measured next at %s", self._desk.settings.url, following)

    def stop(self) -> None:
        """End, and leave what is running: it is made up for."""
        self._scheduler.shutdown(wait=False)

    async def _run(self) -> None:
        at = self._due()
        if at is None:
            return
        partial = 0
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            while not self._ready():
                await asyncio.sleep(_NOT_READY)
            if self._due() != at:
                log.error("storage is not measured any more for %s: what was stored before counts on", at.isoformat())
                return
            try:
                measured = await self._desk.run(at, again=False)
            except MeterlineError as error:
                metrics.STORAGE_RUNS.labels("failed").inc()
                log.warning("storage was not measured for %s: %s", at.isoformat(), error)
            else:
                if measured is None or not measured.failed:
                    self._done(at, 0 if measured is None else measured.measured)
                    return
                metrics.STORAGE_RUNS.labels("partial").inc()
                partial += 1
                log.warning("storage of %d tenants was not measured for %s", measured.failed, at.isoformat())
                if partial == _MOST_PARTIAL:
                    return
            await asyncio.sleep(pause)

    def _due(self) -> datetime | None:
        return latest(self._fires, datetime.now(UTC), self._grace)

    def _done(self, at: datetime, measured: int) -> None:
        metrics.STORAGE_RUNS.labels("done").inc()
        metrics.STORAGE_LAST.set(at.timestamp())
        log.info("storage is measured for %s: %d readings", at.isoformat(), measured)
