"""Errors that every package shares.

MeterlineError
├── ConfigurationError      a setting is missing or wrong: says which and what to write
├── UnavailableError        a server does not answer: says which and how to look at it
└── IntegrityError          going on could lose or double an event: the process must end
    └── PartitionCountError the topic has another number of partitions than was written down
"""

from __future__ import annotations


class MeterlineError(Exception):
    """Base of all errors that Meterline raises on purpose. Its text says what to do next."""


class ConfigurationError(MeterlineError):
    """A setting is missing or wrong."""


class UnavailableError(MeterlineError):
    """A server that is needed does not answer."""


class IntegrityError(MeterlineError):
    """Going on could lose or double an event."""


class PartitionCountError(IntegrityError):
    """A topic's partition count differs from the one that was written down when the cluster was first used."""

    def __init__(self, topic: str, expected: int, found: int) -> None:
        super().__init__(
            f"topic {topic} has {found} partitions, but Meterline was set up with {expected}: a tenant's events would "
            f"move between partitions and repeats could count twice. Recreate the topic with {expected} partitions; "
            "to grow, drain it and start a new cluster of topics."
        )
