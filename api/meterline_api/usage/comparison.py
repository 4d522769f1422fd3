"""One period computed again from its events, against what answers are made of. Pure.

Answers are the totals of the stream plus the late events. Where both ways give other numbers one of them is wrong, or
one is only on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meterline_api.usage.statement import EVENTS, TOTALS, Source
from meterline_schemas.catalog import Aggregation

SHOWN: Final = 100  # differences that are told one by one


@dataclass(frozen=True)
class Fold:
    """What one way says of a tenant and metric. Decimals are text, empty where it knows of no event."""

    count: int
    sum: str
    min: str
    max: str
    last: str


@dataclass(frozen=True)
class Difference:
    """A tenant and metric of which both ways say something else."""

    tenant_id: str
    metric: str
    totals: Fold
    events: Fold


@dataclass(frozen=True)
class Comparison:
    """How many tenants x metrics were compared, how many differ, and the first ``SHOWN`` of these by name."""

    compared: int
    different: int
    differences: list[Difference]


def build(start: datetime, end: datetime, metric: str | None, tenant_id: str | None) -> tuple[str, dict[str, Any]]:
    """The statement for ``[start, end)``, whole UTC hours, and its parameters; ``read`` takes its rows."""
    parameters: dict[str, Any] = {"start": int(start.timestamp()), "end": int(end.timestamp()), "limit": SHOWN}
    where = ""
    for name, value in (("metric", metric), ("tenant_id", tenant_id)):
        if value is not None:
            where += f" AND u.{name} = {{{name}:String}}"
            parameters[name] = value

    def side(number: int, source: Source) -> str:
        numbers = source.numbers(frozenset(Aggregation))
        return (
            f"SELECT u.tenant_id AS tenant_id, u.metric AS metric, {number} AS side, {numbers} "
            f"FROM {source.table} AS u WHERE {source.moment} >= toDateTime({{start:UInt32}}, 'UTC') "
            f"AND {source.moment} < toDateTime({{end:UInt32}}, 'UTC'){where} GROUP BY u.tenant_id, u.metric"
        )

    fold = "(events, total, least, greatest, final)"
    sql = (
        "SELECT tenant_id, metric, totals, counted, totals != counted AS differs, "
        "count() OVER () AS compared, countIf(totals != counted) OVER () AS different FROM ("
        f"SELECT tenant_id, metric, anyIf({fold}, side = 0) AS totals, anyIf({fold}, side = 1) AS counted "
        f"FROM ({side(0, TOTALS)} UNION ALL {side(1, EVENTS)}) GROUP BY tenant_id, metric"
        ") ORDER BY differs DESC, tenant_id, metric LIMIT {limit:UInt32}"
    )
    return sql, parameters


def read(rows: Sequence[Sequence[Any]]) -> Comparison:
    """The rows of ``build`` as a comparison."""
    if not rows:
        return Comparison(0, 0, [])
    differences = [
        Difference(tenant_id, metric, Fold(*totals), Fold(*events))
        for tenant_id, metric, totals, events, differs, _compared, _different in rows
        if differs
    ]
    return Comparison(rows[0][5], rows[0][6], differences)
