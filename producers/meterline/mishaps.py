"""What must never break an app and went wrong all the same: counted, and logged at most once in a while."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import Final

_logger: Final = logging.getLogger("meterline")
_INTERVAL: Final = 5.0  # seconds between two log lines of one kind
_MAX_TEXT: Final = 300
_lock = threading.Lock()


class Mishaps:
    """Mishaps of one kind, ``what``; those of ``within`` include them. Any thread may add, and adding never raises."""

    def __init__(self, what: str, within: Mishaps | None = None) -> None:
        self._what = what
        self._within = within
        self._told = 0
        self._next = 0.0
        self.count = 0

    def add(self, where: object, error: BaseException | str) -> None:
        with _lock:
            self.count += 1
            if self._within is not None:
                self._within.count += 1
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _INTERVAL
            times, self._told = self.count - self._told, self.count
        with suppress(Exception):  # a filter of the app's log, or a text that cannot be made: the count tells
            _logger.warning("%s (%d times); the last: %s: %s", self._what, times, f"{where}", _text(error))


def _text(error: BaseException | str) -> str:
    text = error if isinstance(error, str) else str(error) or type(error).__name__
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
