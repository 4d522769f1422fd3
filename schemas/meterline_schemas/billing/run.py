"""Runs of billing's jobs: records of ``billing.runs``, one for each job and instant that it was due at."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct


class Job(StrEnum):
    """Closed."""

    CHECK_AGGREGATION = "check-aggregation"
    PUSH = "push"
    RETRY = "retry"
    CLOSE = "close"
    RECONCILE = "reconcile"
    ITEMS = "items"
    COSTS = "costs"
    EXPORT = "export"


class RunState(StrEnum):
    """Closed. ``lost``: the process that did it ended; the job was done anew by another run, or will be."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


class Run(Struct, frozen=True):
    """A job, for the instant that it was due at. ``owner`` is the process that does it, and said so last ``seen_at``.

    ``result`` are its numbers by name, ``problems`` what it could not do, each in a sentence.
    """

    job: Job
    due: datetime
    state: RunState
    owner: str
    begun_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None
    asked_by: str = ""
    result: dict[str, str] = {}
    problems: tuple[str, ...] = ()

    @property
    def key(self) -> bytes:
        return f"{self.job}/{self.due.isoformat()}".encode()


encode: Final = msgspec.json.Encoder().encode
read_run: Final = msgspec.json.Decoder(Run).decode
