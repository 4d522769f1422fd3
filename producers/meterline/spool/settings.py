"""Where a spool is and how much it may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from meterline_schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Spool:
    """A folder on a local disk, which any number of processes may share.

    ``max_bytes``: of all files in it; beyond them an event has no room (``Limits.when_full``). ``max_age``: what a
    process left behind longer ago is not sent any more but counted as failed; the service itself accepts events up to
    35 days back. ``sync_seconds``: how often what was written is forced to the disk itself; without it that is left
    to the operating system, so that events outlive the process but the last of them not a loss of power.
    """

    folder: str | os.PathLike[str]
    max_bytes: int = 1024 * 1024 * 1024
    max_age: timedelta = timedelta(days=35)
    sync_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.max_bytes <= 0:
            raise ConfigurationError(f"Spool(max_bytes={self.max_bytes}): must be above 0")
        if self.max_age <= timedelta(0):
            raise ConfigurationError(f"Spool(max_age={self.max_age}): must be above 0")
        if self.sync_seconds is not None and self.sync_seconds <= 0:
            raise ConfigurationError(f"Spool(sync_seconds={self.sync_seconds}): must be above 0, or None")

    @property
    def path(self) -> Path:
        return Path(self.folder).expanduser()

    def check(self) -> None:
        """Make the folder and write a file to it.

        Raises:
            ConfigurationError: that is not possible.
        """
        try:
            import fcntl
        except ImportError:
            raise ConfigurationError("a spool needs the file locks of a POSIX system: leave it out here") from None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe-{os.getpid()}"
            with probe.open("wb") as file:
                file.write(b"\n")
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"the spool folder {self.path} cannot be used ({error.strerror}): "
                "name a folder on a local disk that this process may write to"
            ) from None
