"""What went wrong, told at most once in a while: to the log, and to the app if it wants to know."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

_logger: Final = logging.getLogger("meterline")


@dataclass(frozen=True)
class Problem:
    """``events`` were ``dropped`` or ``failed`` since the last report of that kind.

    ``broker``: none were yet, but Kafka (or the API) is away or refuses. ``spool``: none were, but the disk refuses."""

    kind: Literal["dropped", "failed", "broker", "spool"]
    events: int
    detail: str


class Reporter:
    """Collects problems and tells them, each kind at most once every ``interval`` seconds. For one thread."""

    def __init__(self, on_error: Callable[[Problem], None] | None, interval: float) -> None:
        self._on_error = on_error
        self._interval = interval
        self._open: dict[str, Problem] = {}
        self._told: dict[str, float] = {}

    def add(self, problem: Problem) -> None:
        before = self._open.get(problem.kind)
        events = problem.events + (before.events if before else 0)
        self._open[problem.kind] = Problem(problem.kind, events, problem.detail)

    def tell(self, *, everything: bool = False) -> None:
        """Tell what is due, or all."""
        if not self._open:
            return
        now = time.monotonic()
        for kind, problem in list(self._open.items()):
            if everything or now - self._told.get(kind, -self._interval) >= self._interval:
                self._told[kind] = now
                del self._open[kind]
                self._tell(problem)

    def _tell(self, problem: Problem) -> None:
        if problem.events:
            _logger.warning("%d usage events %s: %s", problem.events, problem.kind, problem.detail)
        else:
            _logger.warning("%s", problem.detail)
        if self._on_error is None:
            return
        try:
            self._on_error(problem)
        except BaseException:  # an exit too: the thread that calls it must go on
            _logger.exception("on_error raised")
