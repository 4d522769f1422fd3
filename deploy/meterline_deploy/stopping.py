"""The wish to stop: one flag that signals set and everything that waits looks at."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from threading import Thread
from types import FrameType
from typing import Final, TypeVar

Result = TypeVar("Result")

LOOK_SECONDS: Final = 0.05


class StoppedError(Exception):
    """Somebody asked to stop."""


class Stopping:
    """Set by SIGTERM, SIGINT and SIGHUP; ``urgent`` once it was asked for again."""

    def __init__(self) -> None:
        self.asked = 0

    def listen(self) -> None:
        """Take the signals; from the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)

    @property
    def urgent(self) -> bool:
        return self.asked > 1

    def check(self) -> None:
        """Raises StoppedError where stopping was asked for."""
        if self.asked:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises StoppedError as soon as stopping is asked for."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, LOOK_SECONDS))
        self.check()

    def during(self, work: Callable[[], Result], meanwhile: Callable[[], None]) -> Result:
        """The result of work that may block, done aside; ``meanwhile`` is called while it lasts.

        Work that is still going on when stopping is asked for is left behind, and ends with the process.

        Raises:
            StoppedError: stopping was asked for.
            Whatever ``work`` raises.
        """
        results: list[Result] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as failure:
                failures.append(failure)

        thread = Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            self.check()
            meanwhile()
            thread.join(LOOK_SECONDS)
        if failures:
            raise failures[0]
        return results[0]

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1
