"""Events to Kafka through the SDK, no faster than Kafka takes them, and how that went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meterline_schemas.reading import InvalidLine

if TYPE_CHECKING:
    from meterline import Problem, UsageProducer
    from meterline_deploy.commands.events_file import Line

EXAMPLES_SHOWN: Final = 10
WINDOW: Final = 10_000  # events that may wait for Kafka before more are read
WINDOW_BYTES: Final = 16 * 1024 * 1024


@dataclass
class Outcome:
    """``read`` lines, of which ``sent`` were given to the SDK and the others are invalid."""

    read: int = 0
    sent: int = 0
    acknowledged: int = 0
    invalid: int = 0
    examples: list[str] = field(default_factory=list)
    stopped: str = ""  # why before the end
    last_trouble: str = ""

    @property
    def clean(self) -> bool:
        """Whether all of the file is events."""
        return self.invalid == 0 and not self.stopped

    @property
    def complete(self) -> bool:
        return self.clean and self.acknowledged == self.sent

    def trouble(self, problem: Problem) -> None:
        self.last_trouble = problem.detail

    def reject(self, what: str, problem: InvalidLine) -> None:
        """Count an invalid line; ``what`` names it."""
        self.invalid += 1
        if len(self.examples) < EXAMPLES_SHOWN:
            self.examples.append(f"{what}: {problem.reason}: {problem.detail}")


class Sending:
    """Gives events to the SDK in windows, so that none is dropped and memory stays bounded."""

    def __init__(
        self,
        producer: UsageProducer,
        timeout: float,
        outcome: Outcome,
        noun: str = "line",
        rejecting: Callable[[Line, InvalidLine], None] | None = None,
    ) -> None:
        self._producer = producer
        self._timeout = timeout
        self._outcome = outcome
        self._noun = noun
        self._rejecting = rejecting
        self._since = self._bytes = 0  # given since Kafka last had almost all of it

    def send(self, lines: Iterator[Line], strict: bool, advance: Callable[[], None]) -> None:
        outcome = self._outcome
        for line in lines:
            outcome.read += 1
            problem = line.problem
            if line.event is not None:
                try:
                    self._producer.track_event(line.event)
                    outcome.sent += 1
                except InvalidLine as invalid:
                    problem = invalid
            if problem is not None:
                outcome.reject(f"{self._noun} {line.number}", problem)
                if self._rejecting is not None:
                    self._rejecting(line, problem)
                if strict:
                    outcome.stopped = f"stopped at {self._noun} {line.number} (--strict)"
                    return
            self._since += 1
            self._bytes += line.size
            if self._since >= WINDOW or self._bytes >= WINDOW_BYTES:
                if not self._wait(0 if self._bytes >= WINDOW_BYTES else WINDOW // 2):
                    return
                self._since = self._bytes = 0
            advance()

    def finish(self) -> None:
        """Wait until Kafka has everything."""
        self._producer.flush(0)
        self._wait(0)

    def _wait(self, pending: int) -> bool:
        """Wait until at most ``pending`` events wait for Kafka; False where it is silent for too long."""
        settled, deadline = -1, 0.0
        while (stats := self._producer.stats()).pending > pending:
            done = stats.acknowledged + stats.failed
            if done != settled:
                settled, deadline = done, time.monotonic() + self._timeout
            elif time.monotonic() > deadline:
                why = f" ({self._outcome.last_trouble})" if self._outcome.last_trouble else ""
                self._outcome.stopped = f"Kafka did not answer for {self._timeout:g} s{why}"
                return False
            time.sleep(0.005)
        return True
