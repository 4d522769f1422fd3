"""The branches of a usage statement that only the events can answer: unique counts, percentiles, gauges. Pure.

Each reads ``usage_events``, where an event is there once, and gives the columns of ``statement._NUMBERS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from meterline_api.queries import UsageQuery, Window
from meterline_schemas.catalog import Metric
from meterline_schemas.catalog.metric import SUBJECT

_NO_FOLDS: Final = "'' AS total, '' AS least, '' AS greatest, '' AS final"
_WINDOWS: Final = {
    Window.HOUR: "toUnixTimestamp(toStartOfHour({time}, 'UTC'))",
    Window.DAY: "toUnixTimestamp(toStartOfDay({time}, 'UTC'))",
    Window.MONTH: "toUnixTimestamp(toDateTime(toStartOfMonth({time}, 'UTC'), 'UTC'))",
}
# of two instants in milliseconds: the starts, in seconds, of all windows from the one's to the other's
_SPANNED: Final = {
    None: "[toInt64({start:UInt32})]",
    Window.HOUR: "arrayMap(n -> n * 3600, range(intDiv(began, 3600000), intDiv(latest, 3600000) + 1))",
    Window.DAY: "arrayMap(n -> n * 86400, range(intDiv(began, 86400000), intDiv(latest, 86400000) + 1))",
    Window.MONTH: (
        "arrayMap(n -> toInt64(toUnixTimestamp(toDateTime(addMonths("
        "toStartOfMonth(fromUnixTimestamp64Milli(began, 'UTC'), 'UTC'), n), 'UTC'))), "
        "range(toUInt64(dateDiff('month', fromUnixTimestamp64Milli(began, 'UTC'), "
        "fromUnixTimestamp64Milli(latest, 'UTC'), 'UTC')) + 1))"
    ),
}
_ENDS: Final = {
    None: "{until:Int64}",
    Window.HOUR: "(window + 3600) * 1000",
    Window.DAY: "(window + 86400) * 1000",
    Window.MONTH: "toInt64(toUnixTimestamp(addMonths(toDateTime(window, 'UTC'), 1))) * 1000",
}


@dataclass(frozen=True)
class Branch:
    """A part of a statement, and the parameters that it adds to those of the request."""

    sql: str
    parameters: dict[str, Any]


def window_of(window: Window | None, time: str) -> str:
    """The start of the window of ``time``, in seconds."""
    return "toUInt32(%s)" % (_WINDOWS[window].replace("{time}", time) if window else "{start:UInt32}")


def unique_counts(query: UsageQuery, where: str, metrics: Sequence[Metric]) -> Branch:
    """How many different values of the property (or subject) that each metric counts.

    An event without the property adds none. Values of different tenants are different.
    """
    by = "{unique_by:Array(String)}[indexOf({unique_metrics:Array(String)}, u.metric)]"
    has = f"if({by} = '{SUBJECT}', u.subject != '', mapContains(u.properties, {by}))"
    value = f"if({by} = '{SUBJECT}', u.subject, u.properties[{by}])"
    return Branch(
        _from_events(query, where, "unique_metrics", f"toString(uniqExactIf((u.tenant_id, {value}), {has}))"),
        {"unique_metrics": [one.key for one in metrics], "unique_by": [one.unique_by for one in metrics]},
    )


def percentiles(query: UsageQuery, where: str, metrics: Sequence[Metric]) -> Branch:
    """The nearest-rank percentile: of n quantities in order the one at ceil(p * n / 100), counted in integers."""
    percent = "{percents:Array(UInt8)}[indexOf({ranked_metrics:Array(String)}, u.metric)]"
    ranked = f"arraySort(groupArray(u.quantity))[intDiv(count() * {percent} + 99, 100)]"
    return Branch(
        _from_events(query, where, "ranked_metrics", f"toString({ranked})"),
        {
            "ranked_metrics": [one.key for one in metrics],
            "percents": [one.aggregation.percentile for one in metrics],
        },
    )


def _from_events(query: UsageQuery, where: str, metrics: str, computed: str) -> str:
    keys = ", ".join(f"u.{dimension} AS {dimension}" for dimension in query.key)
    return (
        f"SELECT {window_of(query.window, 'u.timestamp')} AS window_start, {keys}, "
        f"count() AS events, {_NO_FOLDS}, {computed} AS computed FROM usage_events AS u "
        f"WHERE u.metric IN {{{metrics}:Array(String)}} AND u.timestamp >= toDateTime({{start:UInt32}}, 'UTC') "
        f"AND u.timestamp < toDateTime({{end:UInt32}}, 'UTC'){where} "
        f"GROUP BY window_start, {', '.join(f'u.{dimension}' for dimension in query.key)}"
    )


def time_weighted(query: UsageQuery, where: str, metrics: Sequence[Metric], start: int, until: int) -> Branch:
    """Unit x milliseconds of gauges from ``start`` to ``until``, milliseconds since 1970.

    A gauge is a tenant and subject; a group's number is the sum over its gauges.

    1. the readings of the range and, at its start, the last one before it of each gauge
    2. each holds until the next of its gauge, or until ``until``; of several at one instant the greatest id stands
    3. and is cut into the windows that it holds in: one that has no reading of its own has a row if any holds in it
    """
    gauge = "u.metric, u.tenant_id, u.subject"
    known = f"u.metric IN {{gauges:Array(String)}}{where}"
    readings = (
        f"SELECT {gauge}, u.source, u.quantity, 1 AS counted, toUnixTimestamp64Milli(u.timestamp) AS began, u.id AS id "
        f"FROM usage_events AS u WHERE {known} AND u.timestamp >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') "
        f"AND u.timestamp < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC') UNION ALL "
        f"SELECT {gauge}, argMax(u.source, (u.timestamp, u.id)), argMax(u.quantity, (u.timestamp, u.id)), 0, "
        f"{{from:Int64}}, '' FROM usage_events AS u "
        f"WHERE {known} AND u.timestamp < fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') "
        f"AND {{from:Int64}} < {{until:Int64}} GROUP BY {gauge}"
    )
    held = (
        "SELECT metric, tenant_id, subject, source, quantity, counted, began, "
        "leadInFrame(began, 1, {until:Int64}) OVER (PARTITION BY metric, tenant_id, subject "
        "ORDER BY began, counted, id ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS ended, "
        f"greatest(began, ended - 1) AS latest FROM ({readings})"
    )
    cut = f"SELECT *, arrayJoin({_SPANNED[query.window]}) AS window FROM ({held}) WHERE counted OR ended > began"
    inside = f"greatest(least(ended, {_ENDS[query.window]}) - greatest(began, window * 1000), 0)"
    keys = ", ".join(query.key)
    sql = (
        f"SELECT toUInt32(window) AS window_start, {keys}, sum(counted * (began >= window * 1000)) AS events, "
        f"{_NO_FOLDS}, toString(sum(toDecimal256(quantity, 9) * {inside})) AS computed "
        f"FROM ({cut}) GROUP BY window, {keys}"
    )
    return Branch(sql, {"gauges": [one.key for one in metrics], "from": start, "until": until})
