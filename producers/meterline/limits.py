"""How much a producer may hold, how long an event may wait for others, and what happens when there is no room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meterline_schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Limits:
    """An app's memory is its own: at most ``max_events`` and ``max_bytes`` of events are in it, in each process.

    Without a spool these are all events that Kafka has not acknowledged; with one only those on their way. An event
    without room is dropped and counted (``when_full="drop"``) or ``track`` raises ``BufferFullError`` ("raise"), at
    once or after it waited up to ``wait_seconds`` for room; it never waits in the thread of an event loop.

    Events of one partition are sent together: up to ``batch_events`` or ``batch_bytes``, at the latest after
    ``batch_seconds``. ``exit_seconds``: how long the end of the process may wait for Kafka. ``report_seconds``:
    problems of one kind are told at most this often.
    """

    max_events: int = 100_000
    max_bytes: int = 64 * 1024 * 1024
    when_full: Literal["drop", "raise"] = "drop"
    wait_seconds: float = 0.0
    batch_events: int = 1_000
    batch_bytes: int = 256 * 1024
    batch_seconds: float = 0.05
    exit_seconds: float = 5.0
    report_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("max_events", "max_bytes", "batch_events", "batch_bytes", "batch_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"Limits({name}={getattr(self, name)}): must be above 0")
        for name in ("wait_seconds", "exit_seconds", "report_seconds"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"Limits({name}={getattr(self, name)}): must be 0 or more")
        if self.when_full not in ("drop", "raise"):
            raise ConfigurationError(f'Limits(when_full={self.when_full!r}): must be "drop" or "raise"')

    def queue(self) -> dict[str, int]:
        """librdkafka's own queue: as large as ours, and some, so that ours is the one that counts."""
        return {
            "queue.buffering.max.messages": max(1000, min(self.max_events, 10_000_000)),
            "queue.buffering.max.kbytes": max(1024, min(2 * self.max_bytes // 1024, 2_147_483_647)),
        }
