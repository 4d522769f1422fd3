"""Dying at a chosen step, for the tests that show that no step tells Stripe a wrong number."""

from __future__ import annotations

import os
import signal
import threading


class Failpoint:
    """``METERLINE_STRIPE_CRASH=after_intent:3``: as by ``kill -9`` the third time that it gets there."""

    def __init__(self, setting: str) -> None:
        self._name, _, count = setting.partition(":")
        self._left = int(count or 1)
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
