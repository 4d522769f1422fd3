"""The newest deliveries of the ledger ``meterline.deliveries`` in memory. Pure.

The ledger can be far larger than a process: what lies furthest back is let go of first, by the time of what is told.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from meterline_schemas.delivery import Delivery, decode

MOST_NOTIFICATIONS: Final = 100_000
MOST_BYTES: Final = 128 * 1024 * 1024
OVERHEAD: Final = 600  # bytes that a delivery takes besides its own: text of its keys, and what holds them

_NO_BODY: Final = msgspec.Raw(b"null")


class _Body(Struct):
    timestamp: Annotated[datetime, Meta(tz=True)]


_read_body: Final = msgspec.json.Decoder(_Body).decode


class Known(NamedTuple):
    """The deliveries of one notification, by their targets and without its body, and the partition they lie on."""

    partition: int
    deliveries: list[Delivery]

    @property
    def targets(self) -> set[str]:
        return {target for delivery in self.deliveries for target in (delivery.target, *delivery.targets)}


class _Kept(NamedTuple):
    partition: int
    records: Mapping[str, bytes]
    size: int


class Deliveries:
    """One thread applies records, any may look. ``before``: of notifications up to then nothing is known."""

    def __init__(self, most: int = MOST_NOTIFICATIONS, most_bytes: int = MOST_BYTES) -> None:
        self.before: datetime | None = None
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, _Kept] = {}
        self._oldest: list[tuple[datetime, str]] = []  # a heap, one for each that is kept
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, notification_id: str) -> Known | None:
        """Those of a notification, in the order of their targets; None where none are known."""
        kept = self._kept.get(notification_id)
        if kept is None:
            return None
        found = [decode(record) for _target, record in sorted(kept.records.items())]
        return Known(kept.partition, [each for each in found if isinstance(each, Delivery)])

    def apply(self, partition: int, value: bytes | None) -> str | None:
        """Take over one record; where it cannot be read nothing changes, and why is returned.

        Only requests to resend are ever removed from the ledger, so that a record without a value says nothing here.
        """
        if value is None:
            return None
        try:
            entry = decode(value)
            if not isinstance(entry, Delivery):
                return None
            at = _read_body(entry.notification).timestamp
        except ValueError as error:
            return str(error)
        id = entry.notification_id
        kept = self._kept.get(id)
        if kept is None:
            if self.before is not None and at <= self.before:
                return None
            heapq.heappush(self._oldest, (at, id))
            kept = _Kept(partition, {}, 0)
        record = msgspec.structs.replace(entry, notification=_NO_BODY).encode()
        records = {**kept.records, entry.target: record}  # a new one: somebody may be reading the old one
        size = sum(map(len, records.values())) + OVERHEAD * len(records)
        self._bytes += size - kept.size
        self._kept[id] = _Kept(partition, records, size)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self.before, oldest = heapq.heappop(self._oldest)
            self._bytes -= self._kept.pop(oldest).size
        return None
