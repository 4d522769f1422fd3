"""The calls that an app makes in the benchmarks of sending, made before the clock starts, and what they come to."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import NamedTuple

from tests.benchmarks.sizes import TENANTS
from tests.benchmarks.workload import NAMES


class Call(NamedTuple):
    """What to track; ``repeats`` is the number of an earlier call whose id is used again, or -1."""

    tenant: str
    metric: str
    quantity: str
    repeats: int


def calls(events: int, repeats: float) -> list[Call]:
    rng = random.Random(11)
    made: list[Call] = []
    for number in range(events):
        earlier = number - 1 - rng.randrange(min(number, 5_000)) if number and rng.random() < repeats else -1
        if earlier >= 0 and made[earlier].repeats < 0:
            made.append(made[earlier]._replace(repeats=earlier))
            continue
        cents = rng.randrange(100_000)
        quantity = f"{cents // 100}.{cents % 100:02d}"
        made.append(Call(f"tenant-{rng.randrange(TENANTS)}", NAMES[rng.randrange(3)], quantity, -1))
    return made


def expected(made: list[Call]) -> dict[str, tuple[int, str]]:
    """Count and sum by ``tenant|metric``, each id once."""
    found: dict[str, tuple[int, Decimal]] = {}
    for tenant, metric, quantity, repeats in made:
        if repeats < 0:
            count, sum = found.get(f"{tenant}|{metric}", (0, Decimal(0)))
            found[f"{tenant}|{metric}"] = (count + 1, sum + Decimal(quantity))
    return {key: (count, str(sum)) for key, (count, sum) in found.items()}
