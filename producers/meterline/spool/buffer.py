"""Lines in the spool: written there when they are tracked, read back to be sent, kept until they are acknowledged."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from pathlib import Path
from typing import Final

from meterline.buffer import Buffer
from meterline.limits import Limits
from meterline.records import Batch, Line, Record
from meterline.reports import Problem
from meterline.spool.segment import SUFFIX, Segment, line_of
from meterline.spool.settings import Spool
from meterline.spool.syncing import Syncing

DAMAGED: Final = "damaged.lines"
_LOOK_SECONDS: Final = 5.0  # between looks for what others left behind
_ADOPTED: Final = 4  # files of others that are open at once


class SpoolBuffer(Buffer):
    """One write of an event to the operating system, in ``put``; the sender reads what it can send and no more.

    Where the disk refuses an event it waits in memory, as without a spool, within the same limits.
    """

    def __init__(self, limits: Limits, spool: Spool) -> None:
        super().__init__(limits)
        self._spool = spool
        self._segment_bytes = min(64 * 1024 * 1024, spool.max_bytes // 32)
        self._segments: deque[Segment] = deque()  # to be read, in order
        self._writes: Segment | None = None
        self._bytes = 0  # of our segments
        self._others = 0  # of the other files in the folder, as of the last look
        self._memory: list[Line] = []  # that the disk refused; taken ones are in the two counts still
        self._in_memory = self._memory_bytes = 0
        self._under_way_bytes = 0
        self._refusal = ""
        self._problems: list[Problem] = []
        self._has_looked = False
        self._looked = 0.0
        self._finished: list[int] = []  # descriptors of files that are to be forced to the disk once more
        self._syncing: Syncing | None = None

    @property
    def place(self) -> str:
        return f"the spool {self._spool.path}"

    def _add(self, line: Line) -> bool:
        data = line_of(line)
        if not self._has_room(len(data)):
            self._finish_segment()  # may be delivered already, and would keep its room until it is full
            if not self._has_room(len(data)):
                return False
        try:
            segment = self._writes
            if segment is None or segment.size + len(data) > self._segment_bytes:
                segment = self._next_segment()
            segment.append(data)
        except OSError as error:
            self._refusal = error.strerror or str(error)
            return self._add_to_memory(line)
        self._bytes += len(data)
        return True

    def _add_to_memory(self, line: Line) -> bool:
        limits = self._limits
        if self._in_memory >= limits.max_events or self._memory_bytes + line[2] > limits.max_bytes:
            return False
        self._memory.append(line)
        self._in_memory += 1
        self._memory_bytes += line[2]
        return True

    def _full(self) -> str:
        if self._refusal:
            return f"the spool {self._spool.path} cannot be written ({self._refusal}), and memory is full"
        return f"the spool {self._spool.path} holds its limit of {self._spool.max_bytes:,} bytes"

    def _has_room(self, size: int) -> bool:
        return self._bytes + self._others + size <= self._spool.max_bytes

    def _next_segment(self) -> Segment:
        self._spool.path.mkdir(parents=True, exist_ok=True)
        segment = Segment.create(self._spool.path)
        self._finish_segment()
        self._writes = segment
        self._segments.append(segment)
        self._bytes += segment.size
        return segment

    def _finish_segment(self) -> None:
        finished, self._writes = self._writes, None
        if finished is not None:
            if self._syncing is not None and not finished.is_delivered:
                self._finished.append(finished.duplicate())
            self._remove_if_delivered(finished)

    def _is_settled(self) -> bool:
        return super()._is_settled() and (self._has_looked or self._given_up)

    def take(self) -> Batch | None:
        with self._lock:
            full = self._under_way >= self._limits.max_events or self._under_way_bytes >= self._limits.max_bytes
            if full or self._given_up:
                return None
            if self._memory:
                lines, self._memory = self._memory, []
                return self._took(Batch.of(lines))
            for segment in list(self._segments):
                try:
                    batch = segment.take()
                except OSError as error:
                    self._problems.append(Problem("spool", 0, f"{segment.path} cannot be read: {error.strerror}"))
                    continue
                self._set_aside(segment)
                if batch is not None:
                    return self._took(batch)
                if segment.waiting:
                    self._miss(segment)
                self._remove_if_delivered(segment)
            return None

    def _took(self, batch: Batch) -> Batch:
        self._under_way += batch.left
        self._under_way_bytes += sum(len(text) if text.isascii() else len(text.encode()) for text in batch.texts)
        return batch

    def _settled(self, record: Record) -> None:
        self._under_way_bytes -= record.size
        batch = record.batch
        batch.left -= record.events
        if batch.origin is None:
            self._in_memory -= record.events
            self._memory_bytes -= record.size
        elif not batch.left:
            try:
                batch.origin.answered()
            except OSError as error:  # the worst is that these are sent again, and an id counts once
                self._refusal = error.strerror or str(error)
            self._remove_if_delivered(batch.origin)

    def _remove_if_delivered(self, segment: Segment) -> None:
        if segment.is_delivered and segment is not self._writes and segment in self._segments:
            self._segments.remove(segment)
            self._bytes -= segment.size
            with contextlib.suppress(OSError):
                segment.remove()

    def _set_aside(self, segment: Segment) -> None:
        """Keep lines that cannot be read in a file of their own, and count them."""
        lines, segment.damaged = segment.damaged, []
        if not lines:
            return
        kept = self._spool.path / DAMAGED
        with contextlib.suppress(OSError), open(kept, "ab", opener=_private) as file:
            file.writelines(lines)
        events = sum(line.endswith(b"\n") for line in lines)
        self._failed += events
        self._pending -= events
        detail = f"lines in {segment.path.name} cannot be read; they are kept in {kept}"
        self._problems.append(Problem("failed", events, detail))

    def _miss(self, segment: Segment) -> None:
        """Events that were in a file, which was cut off since."""
        events = segment.skip()
        self._failed += events
        self._pending -= events
        self._problems.append(Problem("failed", events, f"{segment.path} is shorter than it was: they are gone"))

    def care(self) -> list[Problem]:
        """Look for what others left behind, force what was written to the disk: each when it is due."""
        if self._spool.sync_seconds is not None and self._syncing is None:
            self._syncing = Syncing(self._spool.path, self._spool.sync_seconds, self._unsynced)
            self._syncing.start()
        now = time.monotonic()
        room = _ADOPTED - sum(segment.foreign for segment in list(self._segments))
        if (room and not self._has_looked) or now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look_around(room)
        with self._lock:
            problems, self._problems = self._problems, []
            if self._refusal:
                detail = f"the spool {self._spool.path} cannot be written ({self._refusal}): events wait in memory"
                problems.append(Problem("spool", 0, detail))
                self._refusal = ""
        return problems

    def look_again(self) -> None:
        self._has_looked = False

    def _look_around(self, room: int) -> None:
        try:
            files = sorted(Path(self._spool.path).glob(f"*{SUFFIX}"))
            sizes = sum(_size(path) for path in files)
        except OSError as error:
            with self._lock:
                self._problems.append(Problem("spool", 0, f"the spool cannot be looked at: {error.strerror}"))
            return
        with self._lock:
            ours = {segment.path for segment in self._segments}
            if self._writes is not None and not self._writes.path.exists():
                self._finish_segment()
                detail = f"the spool {self._spool.path} was deleted: what waits in it does not outlive this process"
                self._problems.append(Problem("spool", 0, detail))
        found: list[Segment] = []
        for path in files:
            if path not in ours and len(found) < room:
                try:
                    if segment := Segment.adopt(path):
                        found.append(segment)
                except OSError as error:
                    detail = f"{path} was left behind and cannot be taken over: {error.strerror}"
                    self._problems.append(Problem("spool", 0, detail))
        with self._lock:
            for segment in found:
                self._adopt(segment)
            self._others = max(0, sizes - self._bytes)
            self._has_looked = len(found) < room  # else there may be more
            self._changed.notify_all()

    def _adopt(self, segment: Segment) -> None:
        if self._given_up:
            segment.release()
            return
        self._bytes += segment.size
        self._segments.appendleft(segment)
        expired = time.time() - segment.modified() > self._spool.max_age.total_seconds()
        events = segment.skip() if expired else segment.waiting
        self._recovered += events
        if not expired:
            self._pending += events
        elif events:
            self._failed += events
            detail = f"they waited in the spool for more than {self._spool.max_age}"
            self._problems.append(Problem("failed", events, detail))
        self._remove_if_delivered(segment)

    def _unsynced(self) -> list[int]:
        """Descriptors of the files that are not forced to the disk yet, the caller's to close."""
        with self._lock:
            found, self._finished = self._finished, []
            if self._writes is not None:
                found.append(self._writes.duplicate())
            return found

    def give_up(self) -> int:
        """What is on disk stays there, for whoever looks into the folder next; what is in memory alone failed."""
        with self._lock:
            if not self._given_up:
                self._given_up = True
                self._failed += self._in_memory
                self._pending -= self._in_memory
                self._memory = []
                self._writes = None
                for segment in list(self._segments):
                    self._remove_if_delivered(segment)
                for segment in self._segments:
                    segment.release()
                self._segments.clear()
                if self._syncing is not None:
                    self._syncing.stop()
                self._changed.notify_all()
            return self._pending

    def abandon(self) -> None:
        for segment in self._segments:
            segment.close()
        for fd in self._finished:
            os.close(fd)
        self._segments.clear()
        self._finished.clear()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
