"""A thread that forces what was written to the spool to the disk, whatever the sender waits for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

_logger: Final = logging.getLogger("meterline")


class Syncing(threading.Thread):
    """Every ``seconds``. ``unsynced`` gives descriptors of the files, which are closed here."""

    def __init__(self, folder: Path, seconds: float, unsynced: Callable[[], list[int]]) -> None:
        super().__init__(name="meterline-sync", daemon=True)
        self._folder = folder
        self._seconds = seconds
        self._unsynced = unsynced
        self._stopping = threading.Event()
        self._told = False

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        descriptors = self._unsynced()
        try:
            for fd in descriptors:
                os.fdatasync(fd)
            descriptors.append(os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC))
            os.fsync(descriptors[-1])  # names of new files
            self._told = False
        except OSError as error:
            if not self._told:
                self._told = True
                _logger.warning("the spool %s cannot be forced to the disk: %s", self._folder, error.strerror)
        finally:
            for fd in descriptors:
                os.close(fd)
