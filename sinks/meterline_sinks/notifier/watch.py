"""A thread that looks at the notifier from outside and says whether it is well."""

from __future__ import annotations

import logging
import time
from threading import Thread

from meterline_schemas.errors import UnavailableError
from meterline_schemas.health import Health
from meterline_schemas.topics import NOTIFICATIONS
from meterline_sinks.notifier import metrics
from meterline_sinks.notifier.dispatcher import Dispatcher
from meterline_sinks.notifier.intake import Intake
from meterline_sinks.notifier.kafka import Ends, Source
from meterline_sinks.progress import ProgressCheck

log = logging.getLogger(__name__)


class Watch:
    """Compares, a few times within ``limit`` seconds, what is committed with where the notifications end.

    A receiver that does not answer is no trouble of the notifier: it shows in the metrics and in the ledger.
    """

    def __init__(self, source: Source, intake: Intake, dispatcher: Dispatcher, ends: Ends, limit: float) -> None:
        self._source = source
        self._intake = intake
        self._dispatcher = dispatcher
        self._ends = ends
        self._every = min(5.0, limit / 4)
        self._check = ProgressCheck(limit, time.monotonic())

    def start(self) -> None:
        Thread(target=self._run, name="watch", daemon=True).start()

    def health(self) -> Health:
        """Ready once the ledger of the assigned partitions has been read. Progressing unless offsets stand still or
        none are assigned for long."""
        problem = self._check.stuck(time.monotonic())
        detail: dict[str, object] = {"partitions": len(self._source.committed), "open": len(self._dispatcher)}
        if problem is not None:
            detail["problem"] = problem
        if self._intake.trouble:
            detail["kafka"] = self._intake.trouble
        return Health(ready=self._intake.ready, progressing=problem is None, detail=detail)

    def _run(self) -> None:
        while True:
            self.look()
            time.sleep(self._every)

    def look(self) -> None:
        """One look."""
        assigned, committed = self._source.assigned, self._source.committed
        try:
            ends = self._ends.read(committed, timeout=max(1.0, self._every))
        except UnavailableError as error:
            log.warning("%s", error)
            return
        named = {(NOTIFICATIONS, number): offset for number, offset in committed.items()}
        known = {(NOTIFICATIONS, number): end for number, end in ends.items()}
        self._check.observe(time.monotonic(), named, known, assigned=assigned)
        metrics.LAG.clear()
        for number, offset in committed.items():
            metrics.LAG.labels(str(number)).set(max(0, ends.get(number, offset) - offset))
