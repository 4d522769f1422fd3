"""Looking at a file without sending any of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from meterline.encoding import line_of_event
from meterline_deploy.emit.sending import Outcome
from meterline_deploy.emit.table import UnreadableFileError
from meterline_schemas.reading import InvalidLine

if TYPE_CHECKING:
    from meterline_deploy.emit.rejects import Rejecting
    from meterline_deploy.emit.source import Source

EVENTS_SHOWN: Final = 5


def look(source: Source, rejecting: Rejecting, advance: Callable[[], None]) -> tuple[Outcome, list[str]]:
    """Judge every line as sending would. What came of it, where ``sent`` is what would be, and the first events."""
    outcome, first = Outcome(), list[str]()
    try:
        for line in source.lines:
            outcome.read += 1
            problem = line.problem
            if line.event is not None:
                try:
                    text = line_of_event(line.event)
                    outcome.sent += 1
                    if len(first) < EVENTS_SHOWN:
                        first.append(text)
                except InvalidLine as invalid:
                    problem = invalid
            if problem is not None:
                outcome.reject(f"{source.noun[:-1]} {line.number}", problem)
                rejecting(line, problem)
            advance()
    except UnreadableFileError as error:
        outcome.stopped = str(error)
    return outcome, first
