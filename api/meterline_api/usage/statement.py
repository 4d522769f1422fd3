"""Usage as SQL: a request in, a statement with parameters out. Pure; a value never becomes part of the statement.

Every metric is answered by one branch of the statement: from the totals of hours or, where it cannot be put together
from them, from the events (``queries_events``). No number of a window is made of another window's number.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.usage.events import Branch, Rows, percentiles, time_weighted, unique_counts
from meterline_api.usage.filters import PROPERTY, condition, metrics_of
from meterline_api.usage.parts import Part, parts_of
from meterline_api.usage.query import Dimension, UsageQuery
from meterline_api.usage.ranking import ranked
from meterline_api.usage.stretches import Stretch
from meterline_schemas.catalog import Aggregation, Book, Metric

_NOT_NEEDED: Final = "''"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NO_TENANTS: Final = Book()


class Source(NamedTuple):
    """Where count, sum, min, max and last come from: a table as ``u``, its column of time, and how they are folded.

    ``sometimes``, by the name in the statement, are folded where a metric's number is that: a last one, which is found
    by timestamp and id, costs as much as all others.
    """

    table: str
    moment: str
    always: str
    sometimes: Mapping[str, tuple[Aggregation, str]]

    def numbers(self, wanted: Collection[Aggregation]) -> str:
        """The columns that ``wanted`` need; the others are empty."""
        folds = (
            f"{f'toString({fold})' if aggregation in wanted else _NOT_NEEDED} AS {name}"
            for name, (aggregation, fold) in self.sometimes.items()
        )
        return ", ".join([self.always, *folds])


# totals answer at once whatever the number of events; what they do not keep apart is computed from the events
TOTALS: Final = Source(
    "usage_parts",
    "u.hour",
    "sum(u.count) AS events, toString(sum(u.sum)) AS total",
    {
        "least": (Aggregation.MIN, "min(u.min)"),
        "greatest": (Aggregation.MAX, "max(u.max)"),
        "final": (Aggregation.LAST, "argMax(u.last, (u.last_timestamp, u.last_id))"),
    },
)
EVENTS: Final = Source(
    "usage_events",
    "u.timestamp",
    "count() AS events, toString(sum(toDecimal256(u.quantity, 9))) AS total",
    {
        "least": (Aggregation.MIN, "min(u.quantity)"),
        "greatest": (Aggregation.MAX, "max(u.quantity)"),
        "final": (Aggregation.LAST, "argMax(u.quantity, (u.timestamp, u.id))"),
    },
)
_NUMBERS: Final = ("events", "total", "least", "greatest", "final", "computed")
_BEFORE: Final = tuple(f"{name}_before" for name in _NUMBERS)


def build(
    query: UsageQuery, metrics: Mapping[str, Metric], now: datetime, parts: tuple[Part, ...] = ()
) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. Columns: window (seconds), the dimensions of ``query.key``, ``Numbers``, with
    ``query.compare`` those of the previous window, and with ``query.top`` those of ``ranking.ranked``.

    ``metrics`` are the definitions, ``now`` is where the reading of a gauge ends that no other followed. ``parts`` are
    those of ``parts_of``. One row more than ``limit`` is asked for: it says that there are more.
    """
    parts = parts or parts_of(query, _NO_TENANTS)
    until = (now - _EPOCH) // _MILLISECOND
    parameters: dict[str, Any] = {"limit": query.limit + 1}
    where = _where(query, parameters)
    keys = _keys(query, parameters)
    order = ["window_start", *keys]
    sides: list[list[Branch]] = [[], []]
    for number, part in enumerate(parts):
        if part.cut.start >= part.cut.end and number:
            continue
        whose = where + _whose(part, number, parameters)
        stretches = [Stretch(part.cut, f"{number}")]
        if query.compare:
            stretches.append(Stretch(part.before, f"{number}_before", part.cut.start))
        for side, stretch in zip(sides, stretches, strict=False):
            parameters.update(stretch.parameters)
            side += _branches(query, Rows(stretch, whose, keys), metrics, until)
    for branch in (*sides[0], *sides[1]):
        parameters.update(branch.parameters)
    inner = _compared(sides, order) if query.compare else _union(sides[0])
    columns = [*order, *_NUMBERS, *(_BEFORE if query.compare else ())]
    if query.top is not None:
        sql, more = ranked(query, inner, columns, order, metrics)
        return sql, parameters | more
    after = ""
    if query.after is not None:
        places = ["{after_0:UInt32}", *(f"{{after_{n}:String}}" for n in range(1, len(order)))]
        after = f" WHERE ({', '.join(order)}) > ({', '.join(places)})"
        parameters.update({f"after_{n}": value for n, value in enumerate(query.after)})
    sql = f"SELECT {', '.join(columns)} FROM ({inner}){after} ORDER BY {', '.join(order)} LIMIT {{limit:UInt32}}"
    return sql, parameters


def _where(query: UsageQuery, parameters: dict[str, Any]) -> str:
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
    if query.cut is not None:
        where += " AND u.kafka_offset < transform(u.kafka_partition, {cut_of:Array(Int32)}, {cut_at:Array(Int64)}, 0)"
        parameters["cut_of"] = [partition for partition, _offset in query.cut]
        parameters["cut_at"] = [offset for _partition, offset in query.cut]
    if query.filter is not None:
        sql, more = condition(query.filter)
        where += f" AND {sql}"
        parameters.update(more)
    return where


def _keys(query: UsageQuery, parameters: dict[str, Any]) -> dict[str, str]:
    """What rows are told apart by: columns of ``u`` by the name that each has in the statement."""
    found: dict[str, str] = {}
    for number, name in enumerate(query.key):
        if name.startswith(PROPERTY):
            parameters[f"property_{number}"] = name.removeprefix(PROPERTY)
            bound = f"{{property_{number}:String}}"
            found[f"p_{number}"] = f"if(mapContains(u.properties, {bound}), concat('=', u.properties[{bound}]), '')"
        else:
            found[name] = f"u.{name}"
    return found


def _whose(part: Part, number: int, parameters: dict[str, Any]) -> str:
    where = ""
    for word, name, tenants in (("IN", "only", part.only), ("NOT IN", "but", part.but or None)):
        if tenants is not None:
            where += f" AND u.tenant_id {word} {{{name}_{number}:Array(String)}}"
            parameters[f"{name}_{number}"] = list(tenants)
    return where


def _branches(query: UsageQuery, rows: Rows, metrics: Mapping[str, Metric], until: int) -> list[Branch]:
    found: list[Branch] = []
    computed = _by_kind(metrics)
    others = sorted(one.key for kind in computed.values() for one in kind)
    asked = {query.metric} if query.metric is not None else metrics_of(query.filter)
    wanted = {kind: [one for one in of if asked is None or one.key in asked] for kind, of in computed.items()}
    if unique := wanted[Aggregation.UNIQUE_COUNT]:
        found.append(unique_counts(rows, unique))
    if ordered := wanted[Aggregation.P50]:
        found.append(percentiles(rows, ordered))
    if gauges := wanted[Aggregation.TIME_WEIGHTED]:
        found.append(time_weighted(rows, gauges, until))
    if not found or asked is None or asked - set(others):
        folded = {one.aggregation for one in metrics.values() if asked is None or one.key in asked}
        found.append(_folded(query, rows, [key for key in others if asked is None or key in asked], folded))
    return found


def _by_kind(metrics: Mapping[str, Metric]) -> dict[Aggregation, list[Metric]]:
    """The metrics that are computed from events, by the branch that does it; percentiles under P50."""
    found: dict[Aggregation, list[Metric]] = {
        Aggregation.UNIQUE_COUNT: [],
        Aggregation.P50: [],
        Aggregation.TIME_WEIGHTED: [],
    }
    for metric in sorted(metrics.values(), key=lambda one: one.key):
        if metric.aggregation.from_events:
            kind = Aggregation.P50 if metric.aggregation.percentile else metric.aggregation
            found[kind].append(metric)
    return found


def _folded(query: UsageQuery, rows: Rows, others: list[str], wanted: Collection[Aggregation]) -> Branch:
    """Count and sum of every metric but ``others``; min, max and last where they are ``wanted``."""
    source = EVENTS if query.of_events or not rows.stretch.cut.on_hours else TOTALS
    table, moment, numbers = source.table, source.moment, source.numbers(wanted)
    but = " AND u.metric NOT IN {computed_metrics:Array(String)}" if others else ""
    sql = (
        f"SELECT {rows.stretch.window(moment)} AS window_start, {rows.columns}, {numbers}, '' AS computed "
        f"FROM {table} AS u WHERE {rows.stretch.within(moment)}{rows.where}{but} "
        f"GROUP BY window_start, {rows.group}"
    )
    return Branch(sql, {"computed_metrics": others} if others else {})


def _union(branches: list[Branch]) -> str:
    return " UNION ALL ".join(branch.sql for branch in branches)


def _compared(sides: list[list[Branch]], order: list[str]) -> str:
    """Both windows of a row beside each other, whichever of them has usage."""
    both = " UNION ALL ".join(f"SELECT {number} AS side, * FROM ({_union(side)})" for number, side in enumerate(sides))
    merged = [
        f"{'sumIf' if name == 'events' else 'anyIf'}(side_of.{name}, side_of.side = {side}) AS {shown}"
        for side, names in enumerate((_NUMBERS, _BEFORE))
        for name, shown in zip(_NUMBERS, names, strict=True)
    ]
    keys = [f"side_of.{name}" for name in order]
    shown = ", ".join(f"{key} AS {name}" for key, name in zip(keys, order, strict=True))
    return f"SELECT {shown}, {', '.join(merged)} FROM ({both}) AS side_of GROUP BY {', '.join(keys)}"
