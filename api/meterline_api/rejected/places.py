"""Where rejected lines stand in the order of their lists, and instants as ClickHouse takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.opaque import opaque, plain

LIMITS: Final[dict[str, str | int]] = {
    "max_execution_time": 15,
    "max_memory_usage": 1_000_000_000,
    "max_rows_to_read": 1_000_000_000,
    "max_result_rows": 20_000,
}
"""Of every query here: seconds, bytes, rows."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
LAST_MS: Final = 9_214_646_400_000  # 2262-01-01: what every DateTime64 holds
_NUMBERS: Final = re.compile(r"[0-9]{1,19}( [0-9]{1,19})*")


class Place(NamedTuple):
    """When a line was received, in milliseconds since 1970, and where it was judged: a line of ``usage.events``."""

    received: int
    partition: int
    offset: int
    line: int

    @property
    def holds(self) -> bool:
        """Whether the columns of the table hold it."""
        numbers = ((self.received, LAST_MS), (self.partition, 2**31), (self.offset, 2**63), (self.line, 2**32))
        return all(0 <= number < end for number, end in numbers)

    @property
    def parameters(self) -> dict[str, Any]:
        """For ``AFTER``."""
        return {f"after_{name}": number for name, number in self._asdict().items()}


ORDER: Final = "r.received_at, r.kafka_partition, r.kafka_offset, r.kafka_line"
AFTER: Final = (
    "(fromUnixTimestamp64Milli({after_received:Int64}, 'UTC'), {after_partition:Int32}, {after_offset:Int64}, "
    "{after_line:UInt32})"
)


def milliseconds(instant: datetime) -> int:
    """Rounded up and within what the table holds: what is before an instant, or not, stays so."""
    return min(max(-((_EPOCH - instant) // _MILLISECOND), 0), LAST_MS - 1)


def instant_of(since_1970: int) -> datetime:
    return _EPOCH + since_1970 * _MILLISECOND


def write_numbers(numbers: Sequence[int]) -> str:
    """Numbers that are not negative as text that callers need not understand."""
    return opaque(" ".join(map(str, numbers)))


def read_numbers(text: str, how_many: int) -> tuple[int, ...] | None:
    """The numbers that ``write_numbers`` wrote; None where it wrote no such text."""
    found = plain(text) or ""
    if not _NUMBERS.fullmatch(found) or found.count(" ") != how_many - 1:
        return None
    return tuple(map(int, found.split(" ")))
