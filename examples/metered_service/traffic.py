"""Real HTTP traffic for the metered service: many tenants, a few of them large; the same for the same seed.

    python examples/metered_service/traffic.py http://127.0.0.1:8000 --requests 3000 --tenants 60 --seed 7

Prints one JSON object: what was sent, and the usage that it must come to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx


@dataclass(frozen=True)
class Call:
    """One request, and what it uses besides the call itself."""

    tenant: str
    path: str
    body: dict[str, Any]
    metric: str
    quantity: Decimal


def calls(requests: int, tenants: int, seed: int) -> Iterator[Call]:
    """Tenant *n* sends in proportion to 1/*n*: the first few send most of it."""
    chance = random.Random(seed)
    names = [f"tenant-{number:03d}" for number in range(1, tenants + 1)]
    weights = [1 / number for number in range(1, tenants + 1)]
    for tenant in chance.choices(names, weights, k=requests):
        kind = chance.random()
        if kind < 0.6:
            yield Call(tenant, "/v1/orders", {"items": chance.randint(1, 20)}, "orders", Decimal(1))
        elif kind < 0.8:
            size = Decimal(chance.randint(1, 5_000_000)) / 1_000_000
            yield Call(tenant, "/v1/files", {"gigabytes": str(size)}, "storage_gb", size)
        else:
            seconds = Decimal(chance.randint(1, 90_000)) / 1_000
            body = {"model": chance.choice(["small", "large"]), "seconds": str(seconds)}
            yield Call(tenant, "/v1/ai/jobs", body, "ai_seconds", seconds)


async def drive(url: str, requests: int, tenants: int, seed: int, connections: int = 16) -> dict[str, Any]:
    """Send them all, ``connections`` at a time. The summary counts only what was answered with success."""
    waiting = calls(requests, tenants, seed)
    statuses: Counter[int] = Counter()
    usage: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    started = time.perf_counter()

    async def work(client: httpx.AsyncClient) -> None:
        for call in waiting:
            answer = await client.post(call.path, json=call.body, headers={"X-Tenant": call.tenant})
            statuses[answer.status_code] += 1
            if answer.is_success:
                usage[call.tenant]["api_calls"] += 1
                # what is stored only grows, so the highest value of the period is the sum of the files
                usage[call.tenant][call.metric] += call.quantity

    limits = httpx.Limits(max_connections=connections)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits, trust_env=False) as client:
        await asyncio.gather(*(work(client) for _ in range(connections)))
    return {
        "requests": requests,
        "seconds": round(time.perf_counter() - started, 2),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "events": sum(number for status, number in statuses.items() if status < 300) * 2,
        "tenants": len(usage),
        "usage": {
            tenant: {metric: format(value.normalize(), "f") for metric, value in sorted(metrics.items())}
            for tenant, metrics in sorted(usage.items())
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Drive traffic through the metered service")
    parser.add_argument("url", help="where the service listens, like http://127.0.0.1:8000")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--tenants", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    try:
        summary = asyncio.run(drive(options.url, options.requests, options.tenants, options.seed))
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        print(f"no answer from {options.url}: {why}; is the service running?", file=sys.stderr)
        return 1
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
