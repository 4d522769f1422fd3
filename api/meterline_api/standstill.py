"""Whether a consumer group makes progress: its offsets move, or it has nothing to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass
class Standstill:
    """Remembers since when each partition has been behind without moving. Times are in seconds of one clock."""

    limit: float
    _since: dict[Partition, tuple[int, float]] = field(default_factory=dict)

    def observe(self, now: float, committed: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
        """One look: the group's committed offsets (0 where there is none) and where the partitions end."""
        for partition, end in ends.items():
            offset = committed.get(partition, 0)
            known = self._since.get(partition)
            if offset >= end:
                self._since.pop(partition, None)
            elif known is None or known[0] != offset:
                self._since[partition] = (offset, now)

    def stuck(self, now: float) -> list[Partition]:
        """Partitions that have been behind without moving for the limit."""
        return sorted(p for p, (_offset, since) in self._since.items() if now - since >= self.limit)


def lag(committed: Mapping[Partition, int], ends: Mapping[Partition, int]) -> int:
    """Records between what is committed and the ends."""
    return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
