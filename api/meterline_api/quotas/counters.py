"""The counters of ``usage.counters`` in memory. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from meterline_schemas.counter import Counter, CounterKey
from meterline_schemas.partitioning import partition_of

_read_key: Final = msgspec.json.Decoder(CounterKey).decode
_read_counter: Final = msgspec.json.Decoder(Counter).decode


class Counters:
    """The newest of each counter. One thread applies records, any may look.

    ``partitions`` is how many there are: a counter stands only on the partition that its tenant is at home on.
    """

    def __init__(self, partitions: int = 0) -> None:
        self.partitions = partitions
        self._counters: dict[CounterKey, Counter] = {}
        self._incomplete: dict[CounterKey, Counter] = {}

    def find(self, key: CounterKey) -> Counter | None:
        return self._counters.get(key)

    def incomplete(self) -> list[Counter]:
        """Those that lack what was used before they began."""
        return list(self._incomplete.values())

    def apply(self, partition: int, key: bytes | None, value: bytes | None) -> str | None:
        """Take over one record; where it cannot be read nothing changes, and why is returned."""
        try:
            identity = _read_key(key or b"")
            counter = None if value is None else _read_counter(value)
        except msgspec.DecodeError as error:
            return str(error)
        if self.partitions and partition_of(identity.tenant_id, self.partitions) != partition:
            return None
        if counter is None:
            self._counters.pop(identity, None)
        else:
            self._counters[identity] = counter
        # where nothing was before there is nothing to add: the stream knows that by itself
        if counter is None or counter.complete or counter.since == 0:
            self._incomplete.pop(identity, None)
        else:
            self._incomplete[identity] = counter
        return None
