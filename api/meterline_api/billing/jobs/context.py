"""What a job's function is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from meterline_schemas.billing.run import Job


@dataclass(frozen=True)
class Outcome:
    """A run that came to its end: its numbers by name, and what it could not do, each in a sentence."""

    result: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()


async def _nobody_waits() -> None: ...


@dataclass(frozen=True)
class RunContext:
    """The run that a function is called for.

    ``heartbeat`` is awaited between two pieces of work: it raises ``RunLostError`` where another process has taken the
    run over. It may be called as often as one likes. ``progress`` are numbers so far, by name: what the function puts
    there the run shows while it goes on. With ``dry_run`` the function says what it would do, and changes nothing.
    """

    job: Job
    due: datetime
    dry_run: bool = False
    heartbeat: Callable[[], Awaitable[None]] = _nobody_waits
    progress: dict[str, str] = field(default_factory=dict)


JobFunction = Callable[[RunContext], Awaitable[Outcome]]
"""Does a job for an instant; whatever it does must be harmless when it is done again, from the beginning.

Raises:
    MeterlineError: nothing came of it, and the text says why; it is tried again.
"""
