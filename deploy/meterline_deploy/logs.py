"""Logs of the parts: appended to, and cut when they grow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO, Final

LIMIT: Final = 16 * 1024 * 1024
KEPT: Final = 2  # older pieces: name.log.1 is the newest
_TAIL: Final = 16 * 1024


def open_log(path: Path) -> IO[bytes]:
    """The log, open for a process to append to; readable by this user only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return path.open("ab")


def cut(path: Path, limit: int = LIMIT) -> bool:
    """Move what a log holds aside once it is larger than ``limit``; whoever appends to it goes on undisturbed.

    Lines written within the instant between the copy and the cut are lost.
    """
    if not path.exists() or path.stat().st_size <= limit:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copy(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def last_line(path: Path, start: int = 0) -> str:
    """The last line that says something and was written after ``start`` bytes, or ``""``."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(start if start <= end else 0, end - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
