"""Errors of the sinks.

meterline_schemas.errors.MeterlineError
├── ConfigurationError
│   ├── ChangedMigrationError   an applied SQL file has another content now
│   ├── NewerDatabaseError      the database was set up by a newer Meterline
│   └── AnalystAccessError      the analyst's user cannot be made by the user that migrates
├── UnavailableError            ClickHouse or Kafka does not answer, or refuses for a reason that passes
└── IntegrityError
    ├── LostRecordsError        Kafka no longer has records that were never written to ClickHouse
    └── RefusedRowError         ClickHouse refuses a row for what is in it
"""

from __future__ import annotations

from meterline_schemas.errors import ConfigurationError, IntegrityError


class ChangedMigrationError(ConfigurationError):
    """A file that was applied to the database has been changed or removed since."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was applied to this database with another content: restore the file as it was, "
            "and make the change in a new file with the next number."
        )


class NewerDatabaseError(ConfigurationError):
    """The database has migrations that this version does not know."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"the database was set up by a newer Meterline (it has {', '.join(names)}): install that version; "
            "migrations only go forward."
        )


class AnalystAccessError(ConfigurationError):
    """The server keeps users, but does not let this one make them."""

    def __init__(self, user: str, answer: str) -> None:
        super().__init__(
            f"ClickHouse does not let {user!r} make the analyst's user: give it access management "
            "(GRANT ACCESS MANAGEMENT ON *.* in SQL, or access_management in users.xml), or leave "
            f"METERLINE_CLICKHOUSE_ANALYST_PASSWORD empty to go without. It answered: {answer}"
        )


class LostRecordsError(IntegrityError):
    """Records that were not yet written are no longer in Kafka."""

    def __init__(self, topic: str, partition: int, wanted: int, low: int, high: int) -> None:
        if wanted < low:
            lost = f"offsets {wanted} to {low - 1} of {topic}[{partition}] were deleted before they were written"
        else:
            lost = (
                f"{topic}[{partition}] ends at {high}, but was written up to {wanted}: it was made anew or lost its end"
            )
        super().__init__(
            f"{lost}. ClickHouse lacks what was in them: restore it from a backup, and keep the topics longer than an "
            "outage can last. Then delete the consumer group of the sinks: it starts at the beginning of what is left, "
            "and writing a row again changes nothing."
        )


class RefusedRowError(IntegrityError):
    """ClickHouse refuses a row for what is in it: no retry with the same tables can succeed."""

    def __init__(self, topic: str, partition: int, offset: int, table: str, answer: str) -> None:
        super().__init__(
            f"ClickHouse refuses the record at {topic}[{partition}] offset {offset} for {table}: {answer} "
            "Nothing after it is committed. If a column is missing run `python -m meterline_sinks.migrate`; "
            "the sink goes on by itself once the row is taken."
        )
