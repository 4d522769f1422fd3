"""Costs of days as ClickHouse has them, and which usage came since they were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meterline_api.billing.invoices.quantities import Tables

MARGIN: Final = timedelta(hours=2)
"""By which news are looked for before the last time: rows may be written with a time of their begin."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Known(NamedTuple):
    """Of a tenant the last day that is there, and when any of its days was computed last."""

    last: date
    computed_at: datetime


@dataclass(frozen=True)
class Wanted:
    """Costs of ``[start, end)``. ``after``: the place of the last row that was given."""

    start: date
    end: date
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    after: tuple[str, ...] | None = None
    limit: int = 100


class Cost(NamedTuple):
    """A row of ``daily_costs``."""

    day: date
    tenant_id: str
    kind: str
    metric: str
    plan: str
    currency: str
    period_start: datetime
    period_end: datetime
    unit: str
    quantity: Decimal
    cost: Decimal

    @property
    def place(self) -> tuple[str, ...]:
        start = f"{(self.period_start - _EPOCH) // _MILLISECOND}"
        return self.day.isoformat(), self.tenant_id, self.kind, self.metric, self.plan, start


_PLACE: Final = (
    "toString(c.day), c.tenant_id, c.kind, c.metric, c.plan, toString(toUnixTimestamp64Milli(c.period_start))"
)
PLACES: Final = 6


class Costs:
    """Reads only: what is written lies in Kafka, and comes here by the sink. Each raises UnavailableError."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def known(self, tenants: Sequence[str]) -> dict[str, Known]:
        """Of the tenants that any day was computed for."""
        sql = (
            "SELECT c.tenant_id, max(c.day), max(toUnixTimestamp64Milli(c.computed_at)) FROM daily_costs_raw AS c "
            "WHERE c.tenant_id IN {tenants:Array(String)} GROUP BY c.tenant_id"
        )
        rows = await self._tables.rows(sql, {"tenants": list(tenants)})
        return {str(id): Known(last, _EPOCH + int(at) * _MILLISECOND) for id, last, at in rows}

    async def news(self, known: Mapping[str, Known]) -> dict[str, datetime]:
        """The first hour of which anything was written since, of the tenants that have any."""
        if not known:
            return {}
        union = " UNION ALL ".join(
            f"SELECT u.tenant_id AS tenant_id, u.hour AS hour FROM {table} AS u "
            "WHERE u.tenant_id IN {tenants:Array(String)} AND u.inserted_at >= fromUnixTimestamp64Milli("
            "transform(u.tenant_id, {tenants:Array(String)}, {since:Array(Int64)}, 0), 'UTC')"
            for table in ("usage_totals", "usage_late_totals")
        )
        sql = f"SELECT tenant_id, toUnixTimestamp(min(hour)) FROM ({union}) GROUP BY tenant_id"
        since = [(each.computed_at - MARGIN - _EPOCH) // _MILLISECOND for each in known.values()]
        rows = await self._tables.rows(sql, {"tenants": list(known), "since": since})
        return {str(id): datetime.fromtimestamp(int(hour), UTC) for id, hour in rows}

    async def fingerprints(self, tenants: Sequence[str], start: date, end: date) -> dict[tuple[str, date], str]:
        """Of the days in ``[start, end)`` that are there."""
        sql = (
            "SELECT c.tenant_id, c.day, c.fingerprint FROM daily_costs_raw AS c FINAL "
            "WHERE c.tenant_id IN {tenants:Array(String)} AND c.day >= {start:Date} AND c.day < {end:Date}"
        )
        rows = await self._tables.rows(sql, {"tenants": list(tenants), "start": start, "end": end})
        return {(str(id), day): str(fingerprint) for id, day, fingerprint in rows}

    async def page(self, wanted: Wanted) -> list[Cost]:
        """By day, tenant and what it is; one more than ``limit`` where there are more."""
        where = ["c.day >= {start:Date}", "c.day < {end:Date}"]
        parameters: dict[str, Any] = {"start": wanted.start, "end": wanted.end, "limit": wanted.limit + 1}
        if wanted.tenants is not None:
            where.append("c.tenant_id IN {tenants:Array(String)}")
            parameters["tenants"] = list(wanted.tenants)
        if wanted.metric is not None:
            where.append("c.metric = {metric:String}")
            parameters["metric"] = wanted.metric
        if wanted.after is not None:
            where.append(f"({_PLACE}) > ({', '.join(f'{{after_{n}:String}}' for n in range(PLACES))})")
            where.append("c.day >= toDate({after_0:String})")
            parameters |= {f"after_{n}": each for n, each in enumerate(wanted.after)}
        sql = (
            "SELECT c.day, c.tenant_id, c.kind, c.metric, c.plan, c.currency, "
            "toUnixTimestamp64Milli(c.period_start), toUnixTimestamp64Milli(c.period_end), c.unit, "
            "toString(c.quantity), toString(c.cost) FROM daily_costs AS c "
            f"WHERE {' AND '.join(where)} ORDER BY {_PLACE} LIMIT {{limit:UInt32}}"
        )
        return [_cost(row) for row in await self._tables.rows(sql, parameters)]


def _cost(row: Sequence[Any]) -> Cost:
    day, tenant_id, kind, metric, plan, currency, start, end, unit, quantity, cost = row
    return Cost(
        day,
        tenant_id,
        kind,
        metric,
        plan,
        currency,
        _EPOCH + int(start) * _MILLISECOND,
        _EPOCH + int(end) * _MILLISECOND,
        unit,
        Decimal(quantity),
        Decimal(cost),
    )
