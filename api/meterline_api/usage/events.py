"""The branches of a usage statement that only the events can answer: unique counts, percentiles, gauges. Pure.

Each reads ``usage_events``, where an event is there once, and gives the columns of ``statement._NUMBERS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meterline_api.usage.stretches import Stretch
from meterline_schemas.catalog import Metric
from meterline_schemas.catalog.metric import SUBJECT

_NO_FOLDS: Final = "'' AS total, '' AS least, '' AS greatest, '' AS final"


@dataclass(frozen=True)
class Branch:
    """A part of a statement, and the parameters that it adds to those of the request."""

    sql: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Which events a branch is about, and what its rows are told apart by: columns of ``u`` by their names there."""

    stretch: Stretch
    where: str
    keys: Mapping[str, str]

    @property
    def columns(self) -> str:
        return ", ".join(f"{column} AS {name}" for name, column in self.keys.items())

    @property
    def group(self) -> str:
        return ", ".join(self.keys.values())


def unique_counts(rows: Rows, metrics: Sequence[Metric]) -> Branch:
    """How many different values of the property (or subject) that each metric counts.

    An event without the property adds none. Values of different tenants are different.
    """
    by = "{unique_by:Array(String)}[indexOf({unique_metrics:Array(String)}, u.metric)]"
    has = f"if({by} = '{SUBJECT}', u.subject != '', mapContains(u.properties, {by}))"
    value = f"if({by} = '{SUBJECT}', u.subject, u.properties[{by}])"
    return Branch(
        _from_events(rows, "unique_metrics", f"toString(uniqExactIf((u.tenant_id, {value}), {has}))"),
        {"unique_metrics": [one.key for one in metrics], "unique_by": [one.unique_by for one in metrics]},
    )


def percentiles(rows: Rows, metrics: Sequence[Metric]) -> Branch:
    """The nearest-rank percentile: of n quantities in order the one at ceil(p * n / 100), counted in integers."""
    percent = "{percents:Array(UInt8)}[indexOf({ranked_metrics:Array(String)}, u.metric)]"
    ranked = f"arraySort(groupArray(u.quantity))[intDiv(count() * {percent} + 99, 100)]"
    return Branch(
        _from_events(rows, "ranked_metrics", f"toString({ranked})"),
        {
            "ranked_metrics": [one.key for one in metrics],
            "percents": [one.aggregation.percentile for one in metrics],
        },
    )


def _from_events(rows: Rows, metrics: str, computed: str) -> str:
    return (
        f"SELECT {rows.stretch.window('u.timestamp')} AS window_start, {rows.columns}, "
        f"count() AS events, {_NO_FOLDS}, {computed} AS computed FROM usage_events AS u "
        f"WHERE u.metric IN {{{metrics}:Array(String)}} AND {rows.stretch.within('u.timestamp')}{rows.where} "
        f"GROUP BY window_start, {rows.group}"
    )


def time_weighted(rows: Rows, metrics: Sequence[Metric], now: int) -> Branch:
    """Unit x milliseconds of gauges, up to ``now`` at most, which is milliseconds since 1970.

    A gauge is a tenant and subject; a group's number is the sum over its gauges.

    1. the readings of the range and, at its start, the last one before it of each gauge
    2. each holds until the next of its gauge, or until the end; of several at one instant the greatest id stands
    3. and is cut into the windows that it holds in: one that has no reading of its own has a row if any holds in it
    """
    start, until = (f"{{{name}_{rows.stretch.tag}:Int64}}" for name in ("from", "until"))
    gauge = "u.metric, u.tenant_id, u.subject"
    known = f"u.metric IN {{gauges:Array(String)}}{rows.where}"
    place = "(u.timestamp, u.id)"
    names = [f"key_{number}" for number in range(len(rows.keys))]
    keys = "".join(f", {column} AS {name}" for name, column in zip(names, rows.keys.values(), strict=True))
    last_keys = "".join(f", argMax({column}, {place})" for column in rows.keys.values())
    readings = (
        f"SELECT {gauge}{keys}, u.quantity, 1 AS counted, toUnixTimestamp64Milli(u.timestamp) AS began, u.id AS id "
        f"FROM usage_events AS u WHERE {known} AND u.timestamp >= fromUnixTimestamp64Milli({start}, 'UTC') "
        f"AND u.timestamp < fromUnixTimestamp64Milli({until}, 'UTC') UNION ALL "
        f"SELECT {gauge}{last_keys}, argMax(u.quantity, {place}), 0, "
        f"{start}, '' FROM usage_events AS u "
        f"WHERE {known} AND u.timestamp < fromUnixTimestamp64Milli({start}, 'UTC') "
        f"AND {start} < {until} GROUP BY {gauge}"
    )
    held = (
        f"SELECT {', '.join(names)}, quantity, counted, began, "
        f"leadInFrame(began, 1, {until}) OVER (PARTITION BY metric, tenant_id, subject "
        "ORDER BY began, counted, id ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS ended, "
        f"greatest(began, ended - 1) AS latest FROM ({readings})"
    )
    spanned = rows.stretch.spanned("intDiv(began, 1000)", "intDiv(latest, 1000)")
    cut = f"SELECT *, arrayJoin({spanned}) AS window FROM ({held}) WHERE counted OR ended > began"
    inside = "greatest(least(ended, window.2 * 1000) - greatest(began, window.1 * 1000), 0)"
    shown = ", ".join(f"{name} AS {key}" for name, key in zip(names, rows.keys, strict=True))
    sql = (
        f"SELECT toUInt32(window.3) AS window_start, {shown}, "
        f"sum(counted * (began >= window.1 * 1000)) AS events, "
        f"{_NO_FOLDS}, toString(sum(toDecimal256(quantity, 9) * {inside})) AS computed "
        f"FROM ({cut}) GROUP BY window_start, {', '.join(names)}"
    )
    cut_ = rows.stretch.cut
    return Branch(
        sql,
        {
            "gauges": [one.key for one in metrics],
            f"from_{rows.stretch.tag}": cut_.start * 1000,
            f"until_{rows.stretch.tag}": min(cut_.end * 1000, now),
        },
    )
