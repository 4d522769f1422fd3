"""How records leave the process: what a sender needs of Kafka, or of the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meterline.records import Record


@dataclass(frozen=True)
class Answer:
    """What became of a record: ``failed`` of its events for good, or all of it is to be sent ``again``."""

    again: bool = False
    failed: int = 0
    detail: str = ""


Answered = Callable[[Record, Answer], None]


class Transport(Protocol):
    """Used by one thread: the sender's. ``max_events`` and ``max_bytes`` are of a record."""

    max_events: int
    max_bytes: int

    @property
    def partitions(self) -> int:
        """How many partitions records are made for; 0 while nobody can be reached."""

    def reach(self) -> None:
        """Find the other side, if it was lost or never found.

        Raises:
            UnavailableError: with the reason.
            ConfigurationError: settings that will never do.
        """

    def trouble(self) -> str:
        """What connections last failed of, or ``""``."""

    def send(self, record: Record) -> bool:
        """Begin to send a record, which is answered later; False if there is no room for it now."""

    def poll(self, seconds: float) -> None:
        """Deliver answers, waiting for them up to ``seconds``."""

    def close(self) -> None:
        """Let go of the connection; what is under way is not answered any more."""


class Connect(Protocol):
    """Makes a transport, in the thread that uses it and after every fork anew."""

    def __call__(self, answered: Answered) -> Transport: ...
