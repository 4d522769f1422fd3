"""A file of the spool: a head that says how far everything in it is delivered, then lines ``<tenant_id>TAB<event>``.

Its producer holds a lock on it for as long as it lives. The kernel lets go of the lock when the process dies, however
it does: then another producer may take the file over and send the rest. An append is one ``write``: once that returned,
the event is the operating system's and outlives the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections import deque
from pathlib import Path
from typing import Final

from meterline.records import Batch, Line

SUFFIX: Final = ".events"
_HEAD: Final = len(b"%020d\n" % 0)
_READ_BYTES: Final = 512 * 1024  # more than a line may have


class Segment:
    """Not safe to share between threads: the buffer that it belongs to has a lock.

    ``waiting``: events that were not taken yet. ``damaged``: lines that cannot be read, and what is too long to be one.
    """

    def __init__(self, path: Path, fd: int, *, foreign: bool) -> None:
        self.path = path
        self.foreign = foreign  # written by a process that ended, perhaps in the midst of it
        self.damaged: list[bytes] = []
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self._position = self._delivered()
        self._taken: deque[tuple[Batch, int]] = deque()  # and the position after it; delivered ones leave at the left
        self.waiting = self._count() if foreign else 0

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """A new one, locked.

        Raises:
            OSError: the disk does not take it.
        """
        while True:
            name = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                if not _lock(fd):  # somebody who looked for files of dead processes was quicker: it is theirs
                    os.close(fd)
                    continue
                os.pwrite(fd, b"%020d\n" % _HEAD, 0)
            except OSError:
                os.close(fd)
                (folder / name).unlink(missing_ok=True)
                raise
            return cls(folder / name, fd, foreign=False)

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """One whose producer is gone, locked; None if it is somebody's or gone itself.

        Raises:
            OSError: the disk does not let us.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _lock(fd) and os.path.samestat(os.fstat(fd), os.stat(path)):
                return cls(path, fd, foreign=True)
        except FileNotFoundError:
            pass
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        return None

    @property
    def is_read(self) -> bool:
        return self._position >= self.size

    @property
    def is_delivered(self) -> bool:
        """Whether nothing of what it has is left to read or to be answered for."""
        return self.is_read and not self._taken

    def append(self, data: bytes) -> None:
        """A line, as ``line_of`` makes it. A signal handler may append, or flush, between the lines of this one.

        Raises:
            OSError: the disk is full or fails; nothing was appended.
        """
        start = self.size
        self.size = end = start + len(data)
        try:
            if os.pwrite(self._fd, data, start) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            if self.size == end:  # else a hole stays, which is passed over
                self.size = start
                os.ftruncate(self._fd, start)
            raise
        if self.size < end:  # a flush in a handler took it for a file that was cut off
            self.size = end
        self.waiting += 1

    def take(self) -> Batch | None:
        """The next lines, None if there are none."""
        while not self.is_read:
            data = os.pread(self._fd, min(_READ_BYTES, self.size - self._position), self._position)
            if not data:  # somebody cut it off
                self.size = self._position
                break
            end = data.rfind(b"\n") + 1
            if not end:  # a last line that is torn was never confirmed to anyone; before the end it is damage
                end = len(data)
                if self._position + end < self.size:
                    self.damaged.append(data)
                data = b""
            lines = self._lines(data[:end])
            self._position += end
            self.waiting -= data.count(b"\n", 0, end)
            if lines:
                batch = Batch.of(lines, self)
                self._taken.append((batch, self._position))
                return batch
        return None

    def answered(self) -> None:
        """A batch has no event left that waits: remember how far everything is delivered."""
        reached = 0
        while self._taken and not self._taken[0][0].left:
            reached = self._taken.popleft()[1]
        if reached:
            os.pwrite(self._fd, b"%020d\n" % reached, 0)

    def skip(self) -> int:
        """Pass over what was not taken; how many events that is, those among them that are not there any more."""
        events, self.waiting = self.waiting, 0
        self._position = self.size
        return events

    def modified(self) -> float:
        """When it was written to last, in seconds since 1970."""
        return os.fstat(self._fd).st_mtime

    def duplicate(self) -> int:
        """Another descriptor of the file, the caller's to close."""
        return os.dup(self._fd)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of it as it is. In the child of its process: the parent's lock is not touched by that."""
        os.close(self._fd)

    def release(self) -> None:
        """Let go of it for others to take, also where a child of this process holds a descriptor of it."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.close()

    def _count(self) -> int:
        events, position = 0, self._position
        while data := os.pread(self._fd, _READ_BYTES, position):
            events += data.count(b"\n")
            position += len(data)
        return events

    def _delivered(self) -> int:
        head = os.pread(self._fd, _HEAD, 0)
        return max(_HEAD, int(head)) if head[:-1].isdigit() and head.endswith(b"\n") else _HEAD

    def _lines(self, data: bytes) -> list[Line]:
        if not self.foreign:
            return [_line(text) for text in data[:-1].decode().split("\n")]
        found = [(raw + b"\n", _whole(raw)) for raw in data.split(b"\n")[:-1]]
        self.damaged += [raw for raw, line in found if line is None]
        return [line for _raw, line in found if line is not None]


def line_of(line: Line) -> bytes:
    """What is appended for a line of the buffer."""
    return f"{line[0]}\t{line[1]}\n".encode()


def _whole(raw: bytes) -> Line | None:
    """A line that somebody else wrote, None if it is not whole. What is within its braces is judged where it counts."""
    try:
        line = _line(raw.decode())
    except UnicodeDecodeError:
        return None
    tenant_id, event, _size = line
    return line if tenant_id and event[:1] == "{" and event[-1:] == "}" and "\0" not in event else None


def _line(text: str) -> Line:
    tenant_id, _tab, event = text.lstrip("\0").partition("\t")  # a hole is where an append failed
    return tenant_id, event, len(event) if event.isascii() else len(event.encode())


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
