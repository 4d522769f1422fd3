"""``meterline emit``: events of a file or a pipe, through the SDK."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline import Problem, UsageProducer
    from meterline_deploy.commands.events_file import Line
    from meterline_schemas.reading import InvalidLine

EXAMPLES_SHOWN: Final = 10
_WINDOW: Final = 10_000  # events that may wait for Kafka before more are read
_WINDOW_BYTES: Final = 16 * 1024 * 1024


def register(app: typer.Typer) -> None:
    app.command("emit")(emit)


def emit(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="File of NDJSON, or - for standard input.")],
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first invalid line.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Give up when Kafka is silent for so many seconds.")] = 30.0,
    data: DataOption = Path(".meterline"),
) -> None:
    """Send events, one JSON object per line, and wait until Kafka has acknowledged them.

    A line is a usage event: tenant_id, metric, quantity, timestamp and id; optionally subject, source and properties.
    A line without an id gets one that depends on the file up to that line only, so that a file emitted twice counts
    once. A timestamp is never made up. Invalid lines are told by number and skipped.

    Exit code: 0 all were acknowledged; 1 some were invalid or not acknowledged; 2 wrong options.

    **Examples**

        meterline emit usage.ndjson

        zcat usage.ndjson.gz | meterline emit -

        meterline emit --strict usage.ndjson
    """
    import logging

    from meterline import Limits, UsageProducer
    from meterline_deploy.commands.events_file import read_lines
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.run import use

    logging.getLogger("meterline").addHandler(logging.NullHandler())  # problems are told below
    outcome = Outcome()
    with _opened(file) as (source, size):
        use(data)
        limits = Limits(max_events=2 * _WINDOW, max_bytes=4 * _WINDOW_BYTES, exit_seconds=0)
        producer = UsageProducer(limits=limits, on_error=outcome.trouble)
        sending = Sending(producer, timeout, outcome)
        try:
            with Progress(bytes=True) as steps:
                steps.start("sending", size)
                sending.send(read_lines(source), strict, steps.advance)
                steps.start("waiting for Kafka", 0)
                sending.finish()
        finally:
            producer.close(0)
            outcome.acknowledged = producer.stats().acknowledged
            _tell(outcome)
    if not outcome.complete:
        raise typer.Exit(1)


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
    def complete(self) -> bool:
        return self.invalid == 0 and self.acknowledged == self.sent and not self.stopped

    def trouble(self, problem: Problem) -> None:
        self.last_trouble = problem.detail


class Sending:
    """Gives events to the SDK no faster than Kafka takes them, so that none is dropped and memory stays bounded."""

    def __init__(self, producer: UsageProducer, timeout: float, outcome: Outcome) -> None:
        self._producer = producer
        self._timeout = timeout
        self._outcome = outcome
        self._since = self._bytes = 0  # given since Kafka last had almost all of it

    def send(self, lines: Iterator[Line], strict: bool, advance: Callable[[int], None]) -> None:
        from meterline_schemas.reading import InvalidLine

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
                self._invalid(line.number, problem)
                if strict:
                    outcome.stopped = f"stopped at line {line.number} (--strict)"
                    return
            self._since += 1
            self._bytes += line.size
            if self._since >= _WINDOW or self._bytes >= _WINDOW_BYTES:
                if not self._wait(0 if self._bytes >= _WINDOW_BYTES else _WINDOW // 2):
                    return
                self._since = self._bytes = 0
            advance(line.size)

    def finish(self) -> None:
        """Wait until Kafka has everything."""
        self._producer.flush(0)
        self._wait(0)

    def _invalid(self, number: int, problem: InvalidLine) -> None:
        self._outcome.invalid += 1
        if len(self._outcome.examples) < EXAMPLES_SHOWN:
            self._outcome.examples.append(f"line {number}: {problem.reason}: {problem.detail}")

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


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes, and how many where that is known.

    Raises:
        typer.BadParameter: it cannot be read.
    """
    if file == "-":
        yield sys.stdin.buffer, 0
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below; only opening it may fail as a wrong option
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from None
    with source:
        yield source, Path(file).stat().st_size


def _tell(outcome: Outcome) -> None:
    for example in outcome.examples:
        typer.echo(example, err=True)
    if outcome.invalid > len(outcome.examples):
        typer.echo(f"… and {outcome.invalid - len(outcome.examples):,} invalid lines more", err=True)
    lost = outcome.sent - outcome.acknowledged
    if lost:
        typer.echo(
            f"{lost:,} events were not acknowledged; emit the same again: what Kafka has already counts once", err=True
        )
    if outcome.stopped:
        typer.echo(outcome.stopped, err=True)
    typer.echo(
        f"{outcome.read:,} lines: {outcome.sent:,} sent, {outcome.acknowledged:,} acknowledged, "
        f"{outcome.invalid:,} invalid"
    )
