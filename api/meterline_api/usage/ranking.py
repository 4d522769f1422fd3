"""The rows of the greatest values, as SQL: compared as exact numbers, never as text or binary floats. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meterline_api.usage.query import UsageQuery
from meterline_schemas.catalog import Aggregation, Metric

ADDS_UP: Final = frozenset({Aggregation.COUNT, Aggregation.SUM})  # what is left over has a number, too
_TEXTS: Final = {
    Aggregation.MIN: "least",
    Aggregation.MAX: "greatest",
    Aggregation.LAST: "final",
}
_NANO: Final = "toInt256(toDecimal256OrZero({text}, 9) * toDecimal256('1000000000', 0))"
_FINER: Final = "toInt256('1000000000000000000')"  # averages are told apart at 10^-27


def ranked(
    query: UsageQuery, inner: str, columns: Sequence[str], order: Sequence[str], metrics: Mapping[str, Metric]
) -> tuple[str, dict[str, Any]]:
    """The ``query.top`` rows of each window and metric, in the order of their values; equal ones in that of their keys.

    Columns after ``columns``: of the window and metric how many rows there are, their count of events and their sum.
    """
    parameters: dict[str, Any] = {"top": query.top}
    choices = []
    for aggregation, text in _TEXTS.items():
        parameters[f"rank_{aggregation}"] = _of(metrics, aggregation)
        choices.append(f"metric IN {{rank_{aggregation}:Array(String)}}, {text}")
    text = f"multiIf({', '.join(choices)}, computed != '', computed, total)"
    for aggregation in (Aggregation.COUNT, Aggregation.AVG):
        parameters[f"rank_{aggregation}"] = _of(metrics, aggregation)
    average = f"intDiv({_NANO.replace('{text}', 'total')} * {_FINER}, toInt256(greatest(events, 1)))"
    rank = (
        f"multiIf(metric IN {{rank_count:Array(String)}}, toInt256(events), "
        f"metric IN {{rank_avg:Array(String)}}, {average}, {_NANO.replace('{text}', text)})"
    )
    whole = "OVER (PARTITION BY window_start, metric)"
    shown = ", ".join(columns)
    all_of = (
        f"count() {whole} AS all_rows, sum(events) {whole} AS all_events, "
        f"toString(sum(toDecimal256OrZero(total, 9)) {whole}) AS all_total"
    )
    rest = ", ".join(name for name in order if name not in ("window_start", "metric"))
    sql = (
        f"SELECT {shown}, all_rows, all_events, all_total FROM "
        f"(SELECT {shown}, {rank} AS rank, {all_of} FROM ({inner})) "
        f"ORDER BY window_start, metric, rank {'ASC' if query.least else 'DESC'}{', ' + rest if rest else ''} "
        "LIMIT {top:UInt32} BY window_start, metric LIMIT {limit:UInt32}"
    )
    return sql, parameters


def _of(metrics: Mapping[str, Metric], aggregation: Aggregation) -> list[str]:
    return sorted(key for key, metric in metrics.items() if metric.aggregation is aggregation)
