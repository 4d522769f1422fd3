"""Seeded events for tests: valid ones, repeats, invalid and late ones, as NDJSON records for given partitions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

METRICS = {"api_calls", "storage_gb", "orders"}

INVALID = (
    b"not json at all",
    b'{"id":"x"}',
    b'{"id":"nan","tenant_id":"t","metric":"orders","quantity":NaN,"timestamp":"2026-11-21T00:00:00Z"}',
    b'{"id":"huge","tenant_id":"t","metric":"orders","quantity":1e30,"timestamp":"%s"}',
    b'{"id":"unknown","tenant_id":"t","metric":"nobody_defined_this","quantity":1,"timestamp":"%s"}',
    b'{"id":"1970","tenant_id":"t","metric":"orders","quantity":1,"timestamp":"1970-01-01T00:00:00Z"}',
    b'{"id":"2999","tenant_id":"t","metric":"orders","quantity":1,"timestamp":"2999-01-01T00:00:00Z"}',
    b'{"id":"typed","tenant_id":7,"metric":"orders","quantity":1,"timestamp":"%s"}',
    b'{"id":"control\\u0001","tenant_id":"t","metric":"orders","quantity":1,"timestamp":"%s"}',
    b"\xff\xfe",
)


@dataclass
class Workload:
    """``events`` lines in all, of which a share repeats an earlier id, is invalid, or lies far back in time."""

    seed: int
    events: int
    tenants: int = 200
    lines_per_record: int = 50
    repeats: float = 0.05
    invalid: float = 0.01
    late: float = 0.02

    def records(self, home: Callable[[str], int], partitions: int) -> Iterator[tuple[int, bytes]]:
        """``(partition, value)`` in the order of sending. ``home`` gives the partition of a tenant."""
        rng = random.Random(self.seed)
        now = datetime.now(UTC)
        sent: list[tuple[int, bytes]] = []
        waiting: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
        for number in range(self.events):
            chance = rng.random()
            if sent and chance < self.repeats:
                partition, line = rng.choice(sent[-5000:])
            elif chance < self.repeats + self.invalid:
                template = rng.choice(INVALID)
                line = template.replace(b"%s", now.isoformat().encode())
                partition = home("t") if b'"tenant_id":"t"' in line else rng.randrange(partitions)
            else:
                tenant = f"tenant-{int(self.tenants * rng.random() ** 3)}"
                back = timedelta(days=rng.uniform(1, 30)) if rng.random() < self.late else timedelta()
                moment = now - back - timedelta(milliseconds=rng.randrange(4 * 3_600_000))
                line = json.dumps(
                    {
                        "id": f"{self.seed}-{number}",
                        "tenant_id": tenant,
                        "metric": rng.choice(sorted(METRICS)),
                        "quantity": str(rng.randrange(1, 10**12)) + "." + str(rng.randrange(1, 10**9)).zfill(9),
                        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    }
                ).encode()
                partition = home(tenant)
                sent.append((partition, line))
            batch = waiting[partition]
            batch.append(line)
            if len(batch) >= rng.randrange(1, 2 * self.lines_per_record):
                yield partition, b"\n".join(batch)
                batch.clear()
        for partition, batch in waiting.items():
            if batch:
                yield partition, b"\n".join(batch)
