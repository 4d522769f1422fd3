"""How much each part does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FULL = 1_000_000
QUICK = 20_000
TENANTS = 1_000
PARTITIONS = 4


@dataclass(frozen=True)
class Sizes:
    """``events`` is the stream worker's; the other parts take shares of it so that each lasts seconds."""

    events: int = FULL
    freshness_seconds: float = 30.0
    freshness_rate: int = 5_000
    limits: int = 10_000  # quotas, and as many thresholds
    passes: int = 3  # of the stream worker; and of Kafka Streams, whose first one is cold
    kstreams: Path | None = None
    billing_tenants: int = 100_000
    billing_days: int = 30  # of the month that they used something on
    billing_pushes: int = 300  # that are sent; of the others only the plan is made

    @property
    def faust(self) -> int:
        return max(1_000, self.events // 10)

    @property
    def half(self) -> int:
        return max(1_000, self.events // 2)

    @property
    def rows(self) -> int:
        return 2 * self.events

    @property
    def live_ids(self) -> int:
        return 5 * self.events

    @property
    def pairs(self) -> int:
        return max(100, self.events // 10)
