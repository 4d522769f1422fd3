"""Which records make which inserts. Pure: values in, values out.

Lines of ``usage.accepted``, ``usage.rejected`` and ``usage.totals`` are rows already, their fields named as the
columns, so their bytes pass through without being decoded. The few records of ``meterline.notifications``,
``meterline.config``, ``meterline.audit``, ``billing.invoices``, ``billing.payments``,
``billing.pushes``, ``billing.items``, ``billing.runs`` and ``billing.costs`` are decoded, each to a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from meterline_schemas.topics import (
    ACCEPTED,
    AUDIT,
    CONFIG,
    COSTS,
    INVOICES,
    ITEMS,
    NOTIFICATIONS,
    PAYMENTS,
    PROGRESS_KEY,
    PUSHES,
    REJECTED,
    RUNS,
    TOTALS,
)
from meterline_sinks.cost_rows import cost_row
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.item_rows import item_row
from meterline_sinks.job_rows import push_row, run_row
from meterline_sinks.payment_rows import payment_row
from meterline_sinks.rows import UnreadableError, audit_row, catalog_row, notification_row

TABLES: Final[Mapping[str, str]] = MappingProxyType(
    {ACCEPTED: "usage_events_raw", REJECTED: "rejected_events", TOTALS: "usage_totals"}
)
EVENTS_TABLE: Final = TABLES[ACCEPTED]
PROGRESS_TABLE: Final = "usage_progress"

Partition = tuple[str, int]  # a topic's name without prefix, and the partition
Origin = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True)
class Insert:
    """The rows of one table as JSON lines, and beside each element of ``rows`` the record that it came in.

    An element of ``rows`` holds all lines of its record.
    """

    table: str
    rows: Sequence[bytes]
    origins: Sequence[Origin]

    def body(self) -> bytes:
        return b"\n".join(self.rows)

    def halves(self) -> tuple[Insert, Insert]:
        middle = len(self.rows) // 2
        return (
            Insert(self.table, self.rows[:middle], self.origins[:middle]),
            Insert(self.table, self.rows[middle:], self.origins[middle:]),
        )


class Batch:
    """Records in the order of each partition, gathered until they are inserted together.

    Of several totals with one key, and of several progress records of one partition, only the last is kept: it
    replaces the others in the tables too. Two batches of the same records, cut anywhere, leave the same tables.
    """

    __slots__ = ("_decoded", "_origins", "_progress", "_rows", "_totals", "bytes", "next_offsets", "passed_over")

    def __init__(self) -> None:
        self.bytes = 0  # of values taken, including those that a later one replaced
        self.next_offsets: dict[Partition, int] = {}  # what to commit once all of it is written
        self.passed_over: list[tuple[Origin, str]] = []  # records of which no row can be made, and why
        self._rows: dict[str, list[bytes]] = {ACCEPTED: [], REJECTED: []}
        self._origins: dict[str, list[Origin]] = {ACCEPTED: [], REJECTED: []}
        self._totals: dict[tuple[int, bytes], tuple[Origin, bytes]] = {}
        self._progress: dict[Partition, tuple[Origin, bytes]] = {}
        self._decoded: dict[str, list[tuple[Origin, bytes]]] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.next_offsets)

    def add(self, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take one record. A tombstone has no row, but where it deletes an entry of the catalog."""
        self.next_offsets[topic, partition] = offset + 1
        if value is None:
            if topic == CONFIG:
                self._decode((topic, partition, offset), key, value)
            return
        self.bytes += len(value)
        origin = (topic, partition, offset)
        if key == PROGRESS_KEY and topic in TABLES:
            self._progress[topic, partition] = (origin, value)
        elif topic == TOTALS:
            self._totals[partition, key or b""] = (origin, value)
        elif topic in self._rows:
            self._rows[topic].append(value)
            self._origins[topic].append(origin)
        else:
            self._decode(origin, key, value)

    def _decode(self, origin: Origin, key: bytes | None, value: bytes | None) -> None:
        topic, partition, offset = origin
        try:
            if topic == NOTIFICATIONS:
                row = None if value is None else notification_row(partition, offset, value)
            elif topic == AUDIT:
                row = audit_row(offset, value or b"")
            elif topic == INVOICES:
                row = invoice_row(offset, key, value or b"")
            elif topic == PAYMENTS:
                row = payment_row(offset, key, value or b"")
            elif topic == PUSHES:
                row = push_row(offset, value or b"")
            elif topic == ITEMS:
                row = item_row(offset, key, value or b"")
            elif topic == RUNS:
                row = run_row(offset, value or b"")
            elif topic == COSTS:
                row = cost_row(offset, value or b"")
            else:
                row = catalog_row(offset, key, value)
        except UnreadableError as error:
            self.passed_over.append((origin, str(error)))
            return
        if row is not None:
            table, line = row
            self._decoded.setdefault(table, []).append((origin, line))

    def skip_to(self, topic: str, partition: int, offset: int) -> None:
        """Nothing to write lies before ``offset``: the end of the log behind the marks of transactions.

        Committing it keeps the lag of an idle partition at zero, and keeps retention from overtaking it.
        """
        self.next_offsets[topic, partition] = offset

    def inserts(self) -> list[Insert]:
        """What to write, in order; progress last, so that it never speaks of rows that are not there."""
        inserts = [
            Insert(TABLES[ACCEPTED], self._rows[ACCEPTED], self._origins[ACCEPTED]),
            Insert(TABLES[REJECTED], self._rows[REJECTED], self._origins[REJECTED]),
            Insert(
                TABLES[TOTALS],
                [value for _origin, value in self._totals.values()],
                [origin for origin, _value in self._totals.values()],
            ),
            *(
                Insert(table, [line for _origin, line in found], [origin for origin, _line in found])
                for table, found in self._decoded.items()
            ),
            Insert(
                PROGRESS_TABLE,
                [progress_row(origin[0], value) for origin, value in self._progress.values()],
                [origin for origin, _value in self._progress.values()],
            ),
        ]
        return [insert for insert in inserts if insert.rows]


def progress_row(topic: str, value: bytes) -> bytes:
    """The progress record of ``topic`` as a row: its own JSON object with the topic put in front."""
    return b'{"topic":"%s",%s' % (topic.encode(), value.lstrip().removeprefix(b"{"))
