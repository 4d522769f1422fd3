"""Usage as SQL: a request in, a statement with parameters out. Pure; a value never becomes part of the statement.

Every metric is answered by one branch of the statement: from the totals of hours or, where it cannot be put together
from them, from the events (``queries_events``). No number of a window is made of another window's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.queries import Dimension, UsageQuery
from meterline_api.queries_events import Branch, percentiles, time_weighted, unique_counts, window_of
from meterline_schemas.catalog import Aggregation, Metric

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Source(NamedTuple):
    """Where count, sum, min, max and last come from: a table as ``u``, its column of time, and how they are folded."""

    table: str
    time: str
    numbers: str


# totals answer at once whatever the number of events; what they do not keep apart is computed from the events
TOTALS: Final = Source(
    "usage_hourly",
    "u.hour",
    "sum(u.count) AS events, toString(sum(u.sum)) AS total, toString(min(u.min)) AS least, "
    "toString(max(u.max)) AS greatest, toString(argMax(u.last, (u.last_timestamp, u.last_id))) AS final",
)
EVENTS: Final = Source(
    "usage_events",
    "u.timestamp",
    "count() AS events, toString(sum(toDecimal256(u.quantity, 9))) AS total, toString(min(u.quantity)) AS least, "
    "toString(max(u.quantity)) AS greatest, toString(argMax(u.quantity, (u.timestamp, u.id))) AS final",
)
_NUMBERS: Final = "events, total, least, greatest, final, computed"


def build(query: UsageQuery, metrics: Mapping[str, Metric], now: datetime) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. Columns: window (seconds), the dimensions of ``query.key``, ``Numbers``.

    ``metrics`` are the definitions, ``now`` is where the reading of a gauge ends that no other followed. One row more
    than ``limit`` is asked for: it says that there are more.
    """
    start = int(query.start.timestamp())
    if query.window is not None and query.after is not None:
        start = max(start, int(query.after[0]))  # rows before it were given
    end = int(query.end.timestamp())
    until = (min(query.end, now) - _EPOCH) // _MILLISECOND
    parameters: dict[str, Any] = {"start": start, "end": end, "limit": query.limit + 1}
    where = ""
    if query.tenants is not None:
        where += " AND u.tenant_id IN {tenants:Array(String)}"
        parameters["tenants"] = list(query.tenants)
    for dimension, value in (
        (Dimension.METRIC, query.metric),
        (Dimension.SUBJECT, query.subject),
    ):
        if value is not None:
            where += f" AND u.{dimension} = {{{dimension}:String}}"
            parameters[dimension.value] = value
    branches: list[Branch] = []
    computed = _by_kind(query, metrics)
    if unique := computed[Aggregation.UNIQUE_COUNT]:
        branches.append(unique_counts(query, where, unique))
    if ranked := computed[Aggregation.P50]:
        branches.append(percentiles(query, where, ranked))
    if gauges := computed[Aggregation.TIME_WEIGHTED]:
        branches.append(time_weighted(query, where, gauges, start * 1000, until))
    if query.metric is None or not branches:
        branches.append(_folded(query, where, sorted(one.key for kind in computed.values() for one in kind)))
    for branch in branches:
        parameters.update(branch.parameters)
    keys = ["window_start", *query.key]
    after = ""
    if query.after is not None:
        places = ["{after_0:UInt32}", *(f"{{after_{n}:String}}" for n in range(1, len(keys)))]
        after = f" WHERE ({', '.join(keys)}) > ({', '.join(places)})"
        parameters.update({f"after_{n}": value for n, value in enumerate(query.after)})
    order = ", ".join(keys)
    union = " UNION ALL ".join(branch.sql for branch in branches)
    sql = f"SELECT {order}, {_NUMBERS} FROM ({union}){after} ORDER BY {order} LIMIT {{limit:UInt32}}"
    return sql, parameters


def _by_kind(query: UsageQuery, metrics: Mapping[str, Metric]) -> dict[Aggregation, list[Metric]]:
    """The metrics asked for that are computed from events, by the branch that does it; percentiles under P50."""
    found: dict[Aggregation, list[Metric]] = {
        Aggregation.UNIQUE_COUNT: [],
        Aggregation.P50: [],
        Aggregation.TIME_WEIGHTED: [],
    }
    for metric in sorted(metrics.values(), key=lambda one: one.key):
        if metric.aggregation.from_events and query.metric in (None, metric.key):
            kind = Aggregation.P50 if metric.aggregation.percentile else metric.aggregation
            found[kind].append(metric)
    return found


def _folded(query: UsageQuery, where: str, others: list[str]) -> Branch:
    """Count, sum, min, max and last of every metric but ``others``."""
    raw = query.subject is not None or bool({Dimension.SUBJECT, Dimension.SOURCE} & set(query.key))
    table, time, numbers = EVENTS if raw else TOTALS
    but = " AND u.metric NOT IN {computed_metrics:Array(String)}" if others else ""
    keys = ", ".join(f"u.{dimension} AS {dimension}" for dimension in query.key)
    sql = (
        f"SELECT {window_of(query.window, time)} AS window_start, {keys}, {numbers}, '' AS computed "
        f"FROM {table} AS u WHERE {time} >= toDateTime({{start:UInt32}}, 'UTC') "
        f"AND {time} < toDateTime({{end:UInt32}}, 'UTC'){where}{but} "
        f"GROUP BY window_start, {', '.join(f'u.{dimension}' for dimension in query.key)}"
    )
    return Branch(sql, {"computed_metrics": others} if others else {})
