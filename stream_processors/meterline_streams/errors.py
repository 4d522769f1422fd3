"""Errors of the stream processor.

IntegrityError (meterline_schemas.errors)
├── StateMissingError    outputs or commits exist, the state that made them does not
├── EventsLostError      the log no longer has events that were never judged
├── DeniedPropertyError  a metric counts what nothing is kept of
└── WrongTopicError      a topic's settings would make totals wrong
"""

from __future__ import annotations

from meterline_schemas.errors import IntegrityError


class StateMissingError(IntegrityError):
    """The partition was processed before, but its state topic is empty: counting again from zero would double."""

    def __init__(self, topic: str, partition: int, evidence: str) -> None:
        super().__init__(
            f"{topic}[{partition}] is empty although {evidence}: starting from zero would count everything again. "
            "Restore the state topic; or, to begin anew, delete all of Meterline's topics, its consumer groups and its "
            "ClickHouse database and run `meterline setup`."
        )


class EventsLostError(IntegrityError):
    """Retention removed events before they were judged."""

    def __init__(self, topic: str, partition: int, first: int, start: int) -> None:
        super().__init__(
            f"{topic}[{partition}]: offsets {first} to {start - 1} are gone from the log and were never judged; "
            "the events in them are lost to the totals. Send them again if you can, then set "
            f"METERLINE_ACCEPT_LOST='{{\"{partition}\": {start}}}' and start again to go on at offset {start}."
        )


class DeniedPropertyError(IntegrityError):
    """Unique values are counted from the events that are kept, and the property would not be in them."""

    def __init__(self, metric: str, name: str) -> None:
        super().__init__(
            f"metric {metric!r} counts the different values of the property {name!r}, of which nothing is kept as "
            "METERLINE_DENIED_PROPERTIES names it: its usage would be lost. Nothing is judged until the metric is "
            "deleted (which it can be as long as it has no usage) or the name is taken off the list."
        )


class WrongTopicError(IntegrityError):
    """A topic is missing or has a setting under which totals cannot be exact."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}. Run `meterline setup` to create topics as they must be, or correct the setting.")
