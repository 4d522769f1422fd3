"""The job ``check-aggregation``: totals of hours are what the events behind them say.

An hour is held against its events once it is over, in the first run after that, and again in the run after anything
was written of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from meterline_api.billing.jobs.context import Outcome, RunContext
from meterline_schemas.billing.run import Job, Run, RunState

MARGIN: Final = timedelta(hours=2)
"""By which a run looks back before the beginning of the last one: an hour that went on then is over now."""
FIRST: Final = timedelta(days=3)
"""As far as a run looks back where none was done before."""
LOOKS: Final = 3
"""Events and totals of an hour are not written at one moment: what differs is looked at again."""
_PAUSE: Final = 2.0  # seconds
_PATIENCE: Final = 60.0  # seconds until everything sent is in ClickHouse
_MOST: Final = 10_000  # differing hours that are told

_NUMBERS: Final = ("count", "sum", "min", "max", "last")


class Tables(Protocol):
    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]: ...


class Differing(NamedTuple):
    """An hour of a tenant and metric; numbers of its events, and of its totals, in the order of ``_NUMBERS``."""

    tenant_id: str
    metric: str
    hour: datetime
    events: tuple[Decimal, ...]
    totals: tuple[Decimal, ...]

    @property
    def place(self) -> tuple[str, str, datetime]:
        return self[:3]

    def __str__(self) -> str:
        told = [
            f"{name} {ours.normalize():f} and not {theirs.normalize():f}"
            for name, ours, theirs in zip(_NUMBERS, self.events, self.totals, strict=True)
            if ours != theirs
        ]
        return (
            f"tenant {self.tenant_id!r}, {self.metric}, {self.hour:%Y-%m-%dT%H:%MZ}: its events come to "
            f"{', '.join(told)}, as its totals say; `meterline reconcile` says which is wrong"
        )


def differing(since: datetime, end: datetime) -> tuple[str, dict[str, Any]]:
    """Hours before ``end`` of which anything was written from ``since`` on, and whose totals are not their events."""
    tables = (
        ("usage_totals", "hour"),
        ("usage_late_totals", "hour"),
        ("usage_events_raw", "toStartOfHour(timestamp)"),
    )
    changed = " UNION DISTINCT ".join(
        f"SELECT tenant_id, metric, {hour} AS hour FROM {table} WHERE {hour} < toDateTime({{end:UInt32}}, 'UTC') "
        "AND inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
        for table, hour in tables
    )
    numbers = "sum(c), toString(sum(s)), toString(min(a)), toString(max(z)), toString(argMax(l, (t, i)))"
    folded = f"SELECT tenant_id, metric, hour, ({numbers}) AS found"
    events = (
        f"{folded} FROM (SELECT tenant_id, metric, toStartOfHour(timestamp) AS hour, 1 AS c, "
        "toDecimal256(quantity, 9) AS s, quantity AS a, quantity AS z, quantity AS l, timestamp AS t, id AS i "
        f"FROM usage_events_raw FINAL WHERE (tenant_id, metric, toStartOfHour(timestamp)) IN ({changed})) "
        "GROUP BY tenant_id, metric, hour"
    )
    totals = (
        f"{folded} FROM (SELECT tenant_id, metric, hour, count AS c, sum AS s, min AS a, max AS z, last AS l, "
        "last_timestamp AS t, last_id AS i FROM usage_parts "
        f"WHERE (tenant_id, metric, hour) IN ({changed})) GROUP BY tenant_id, metric, hour"
    )
    sql = (
        "SELECT tenant_id, metric, toUnixTimestamp(hour), events.found, totals.found "
        f"FROM ({events}) AS events FULL JOIN ({totals}) AS totals USING (tenant_id, metric, hour) "
        f"WHERE events.found != totals.found ORDER BY tenant_id, metric, hour LIMIT {_MOST}"
    )
    return sql, {"since": int(since.timestamp() * 1000), "end": int(end.timestamp())}


class Aggregation:
    """``runs`` reads billing's runs and ``passed_on`` waits so many seconds for all that was sent, in this thread."""

    def __init__(
        self,
        tables: Tables,
        runs: Callable[[], Mapping[Job, Mapping[datetime, Run]]],
        passed_on: Callable[[float], bool],
    ) -> None:
        self._tables = tables
        self._runs = runs
        self._passed_on = passed_on

    async def check(self, run: RunContext) -> Outcome:
        """The job; it changes nothing. Raises UnavailableError: it is tried again."""
        now = datetime.now(UTC)
        done = (await asyncio.to_thread(self._runs))[Job.CHECK_AGGREGATION].values()
        begun = [each.begun_at for each in done if each.state is RunState.DONE]
        since = max(begun) - MARGIN if begun else now - FIRST
        asked = differing(since, now.replace(minute=0, second=0, microsecond=0))
        found = await self._differing(*asked)
        for _ in range(LOOKS - 1):
            if not found:
                break
            await run.heartbeat()
            await asyncio.to_thread(self._passed_on, _PATIENCE)
            await asyncio.sleep(_PAUSE)
            again = await self._differing(*asked)
            found = {place: again[place] for place in found if place in again}
        numbers = {"since": since.isoformat(timespec="seconds"), "differing_hours": str(len(found))}
        return Outcome(numbers, [str(found[place]) for place in sorted(found)])

    async def _differing(self, sql: str, parameters: Mapping[str, Any]) -> dict[tuple[str, str, datetime], Differing]:
        rows = [_read(row) for row in await self._tables.rows(sql, parameters)]
        return {each.place: each for each in rows}


def _read(row: Sequence[Any]) -> Differing:
    tenant_id, metric, hour, events, totals = row
    ours, theirs = (tuple(Decimal(number or 0) for number in found) for found in (events, totals))
    return Differing(tenant_id, metric, datetime.fromtimestamp(hour, UTC), ours, theirs)
