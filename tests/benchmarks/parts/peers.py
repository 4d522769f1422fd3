"""What the peers' outcomes are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.benchmarks.results import CheckFailedError
from tests.benchmarks.workload import Totals, Workload, totals


def in_totals(found: Mapping[str, Any]) -> Totals:
    """Totals as a peer wrote them: key → [count, sum as text]."""
    return {key: (count, Decimal(sum)) for key, (count, sum) in found.items()}


def compare(found: Totals, workload: Workload) -> str:
    """Every tenant, metric and hour, repeats counted.

    Raises:
        CheckFailedError: they differ.
    """
    expected = totals(made.line for made in workload)
    wrong = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    if wrong:
        first = min(wrong)
        raise CheckFailedError(
            f"{len(wrong)} of {len(expected)} totals differ, {first} for one: "
            f"{found.get(first)}, not {expected.get(first)}"
        )
    return f"count and sum of all {len(expected):,} totals equal an independent count (repeats counted)"
