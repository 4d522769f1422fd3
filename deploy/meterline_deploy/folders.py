"""Folders: where downloads are kept, and the lock that one process holds on a data folder."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import IO

from meterline_schemas.errors import ConfigurationError


class FolderInUseError(ConfigurationError):
    """Another process works on this data folder."""

    def __init__(self, folder: Path, what: str, holder: str) -> None:
        by = f" (process {holder})" if holder else ""
        super().__init__(
            f"{folder} is in use: another {what} is running on it{by}; stop that one or give another folder with --data"
        )


def cache_folder() -> Path:
    """Where downloads are kept between runs: ``METERLINE_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("METERLINE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "meterline"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "meterline"


def make_folder(folder: Path) -> Path:
    """The folder, absolute, made where it is missing, for this user only.

    Raises:
        ConfigurationError: it cannot be made or written to.
    """
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot use the folder {folder}: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"cannot write to the folder {folder}: change its owner or give another one")
    return folder


def lock_folder(folder: Path, what: str) -> IO[str]:
    """Hold ``folder`` as the only ``what`` until the returned file is closed or the process ends, however it ends.

    The lock is the kernel's, so a killed process leaves none behind, and it outlives an ``exec``.

    Raises:
        FolderInUseError: another process holds it.
    """
    path = folder / "lock"
    file = open(path, "a+")  # noqa: SIM115 - held open for as long as the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise FolderInUseError(folder, what, holder) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    os.set_inheritable(file.fileno(), True)
    return file


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by this user only; a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
