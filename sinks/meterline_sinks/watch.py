"""A thread that looks at the sink from outside and says whether it is well."""

from __future__ import annotations

import logging
import time
from threading import Thread

from meterline_schemas.errors import UnavailableError
from meterline_schemas.health import Health
from meterline_sinks import metrics
from meterline_sinks.kafka import Ends, Source
from meterline_sinks.loop import Loop
from meterline_sinks.progress import ProgressCheck

log = logging.getLogger(__name__)


class Watch:
    """Compares, a few times within ``limit`` seconds, what is committed with where the topics end."""

    def __init__(self, source: Source, loop: Loop, ends: Ends, limit: float) -> None:
        self._source = source
        self._loop = loop
        self._ends = ends
        self._every = min(5.0, limit / 4)
        self._check = ProgressCheck(limit, time.monotonic())

    def start(self) -> None:
        Thread(target=self._run, name="watch", daemon=True).start()

    def health(self) -> Health:
        """Ready once partitions are assigned. Progressing unless offsets stand still, none are assigned for long,
        or a row is refused."""
        problem = self._loop.refused or self._check.stuck(time.monotonic())
        detail: dict[str, object] = {"partitions": len(self._source.committed)}
        if problem is not None:
            detail["problem"] = problem
        if self._loop.trouble is not None:
            detail["clickhouse"] = self._loop.trouble
        return Health(ready=self._source.assigned, progressing=problem is None, detail=detail)

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
        self._check.observe(time.monotonic(), committed, ends, assigned=assigned)
        metrics.LAG.clear()
        for partition, offset in committed.items():
            metrics.LAG.labels(partition[0], str(partition[1])).set(max(0, ends.get(partition, offset) - offset))
