"""Dying at a chosen step, for the tests that show that no step loses or doubles a row."""

from __future__ import annotations

import os
import signal


class Failpoint:
    """``METERLINE_SINK_CRASH=after_insert:3``: as by ``kill -9`` the third time that it gets there."""

    def __init__(self, setting: str) -> None:
        self._name, _, count = setting.partition(":")
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
