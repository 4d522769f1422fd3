"""Errors of the notifier.

meterline_schemas.errors.MeterlineError
├── UnavailableError         Kafka does not answer, or refuses for a reason that passes
└── IntegrityError
    ├── OvertakenError       Kafka no longer has the next notifications of a partition
    └── LedgerError          the ledger does not take records
"""

from __future__ import annotations

from meterline_schemas.errors import IntegrityError


class OvertakenError(IntegrityError):
    """The next notifications are not in the log: a restart goes on with what is there, and says what is missing."""

    def __init__(self, topic: str, partition: int, answer: str) -> None:
        super().__init__(
            f"the next notifications of {topic}[{partition}] are no longer in Kafka ({answer}): start the notifier "
            "again, and it goes on with those that are left"
        )


class LedgerError(IntegrityError):
    """What was done cannot be written down."""

    def __init__(self, topic: str, answer: str) -> None:
        super().__init__(
            f"{topic} does not take records: {answer}. Look at the broker's log and at the ACLs; nothing is lost, a "
            "restart goes on where the ledger ends"
        )
