"""Whether the totals of periods are those of their events: what is invoiced and what is answered must be the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from meterline_api.billing.invoices.document import Interval
from meterline_api.billing.invoices.periods import Due
from meterline_api.billing.invoices.quantities import Cut, Quantities, Tables, differences, used
from meterline_schemas.catalog import Metric

_ALL: Final = 2**63 - 1


async def differing(
    tables: Tables,
    dues: Sequence[Due],
    metrics: Mapping[str, Metric],
    quantities: Mapping[Interval, Quantities],
    cut: Cut,
) -> dict[str, str]:
    """Whose totals are not those of their events, and how. ``quantities`` are of each segment, up to ``cut``.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    by_period: dict[Interval, list[Due]] = defaultdict(list)
    for due in dues:
        by_period[due.start, due.end].append(due)
    found: dict[str, str] = {}
    folded = [key for key, metric in metrics.items() if not metric.aggregation.from_events]
    for (start, end), those in by_period.items():
        ids = [due.tenant.id for due in those]
        raw: Quantities = quantities.get((start, end), {})
        alone = {due.tenant.id for due in those if [(s.start, s.end) for s in due.segments] != [(start, end)]}
        if alone:
            raw = {**raw, **await used(tables, metrics, sorted(alone), start, end, cut)}
        totals = await used(tables, metrics, ids, start, end, None)
        suspects = sorted({tenant_id for tenant_id, *_ in differences(raw, totals, folded)} & {*ids})
        if not suspects:
            continue
        # what came behind the cut is in the totals alone: look at both once more, without it
        everything = tuple((partition, _ALL) for partition, _offset in cut)
        raw = await used(tables, metrics, suspects, start, end, everything)
        totals = await used(tables, metrics, suspects, start, end, None)
        for tenant_id, metric, events, total in differences(raw, totals, folded):
            found.setdefault(
                tenant_id,
                f"tenant {tenant_id!r} is not invoiced for {start:%Y-%m-%d}: its events of {metric} come to "
                f"{events} and its totals to {total}; `meterline reconcile` says which is wrong",
            )
    return found
