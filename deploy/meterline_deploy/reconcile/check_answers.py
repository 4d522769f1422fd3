"""Checks ``answers`` and ``late totals``: what is kept of hours = its rows, folded again, per tenant, metric and hour.

``answers``: usage_hourly = all rows, late ones too. ``late totals``: usage_late_totals = the late rows that stand.

While events still arrive, what is kept and the rows are read at slightly different moments. So an hour that differs is
looked at a second time: what made it differ, if it was an event, is seen then. An hour that has moved since the check
began is looked at a few times more; if it never rests it is no difference, and is counted in a note.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from meterline_deploy.reconcile.check_totals import CELL, FOLD, KEY, MANY, fields, hours
from meterline_deploy.reconcile.report import Check, Difference
from meterline_deploy.reconcile.times import Period
from meterline_deploy.reconcile.warehouse import Warehouse, by_partition, text

_LOOKS: Final = 4  # after the second
_BETWEEN: Final = 0.7  # seconds
_AT_ONCE: Final = 500


class Kept(NamedTuple):
    """Hours that are kept: what to read them from, and a condition on the rows that they are made of."""

    hours: str
    of_rows: str
    none: str
    without_rows: str


ANSWERS: Final = Kept("usage_hourly", "1", "no answer", "answer without rows")
LATE: Final = Kept("usage_late_totals FINAL", "late = 1", "no total", "total without rows")


def new_check() -> Check:
    return Check("answers", "usage_hourly = all rows, late ones too, per tenant, metric and hour", "hourly answers")


def new_late_check() -> Check:
    return Check(
        "late totals",
        "usage_late_totals FINAL = late rows, per tenant, metric and hour",
        "hourly totals of late events",
    )


def check_answers(
    warehouse: Warehouse, cut: Mapping[int, int], period: Period, limit: int, check: Check, kept: Kept = ANSWERS
) -> None:
    asked = hours(period, "hour")
    ((compared,),) = warehouse.rows(f"SELECT count() FROM {kept.hours} WHERE {asked}")
    check.compared = int(compared)
    rows = list(_differing(warehouse, kept, asked, hours(period, "timestamp", precise=True), cut))
    check.at_least = len(rows) > MANY
    rows = _again(warehouse, kept, rows, cut)
    for _look in range(_LOOKS):
        moving = [row for row in rows if row[5]]
        if not moving:
            break
        time.sleep(_BETWEEN)
        rows = [row for row in rows if not row[5]] + _again(warehouse, kept, moving, cut)
    for tenant, metric, hour, folded, answer, moves in rows:
        if not moves:
            kind = "different" if folded and answer else kept.none if folded else kept.without_rows
            key = dict(zip(KEY, (tenant, metric, hour), strict=True))
            check.add([Difference(kind, key, fields(folded), fields(answer))], limit)
    left = sum(1 for row in rows if row[5])
    if left:
        check.notes.append(f"{left:,} hours were still being counted each time they were read; run it again")


def _differing(
    warehouse: Warehouse, kept: Kept, hour: str, timestamp: str, cut: Mapping[int, int]
) -> Sequence[Sequence[Any]]:
    """Tenant, metric, hour, both cells, and whether events have come into the hour since the check began."""
    bound = by_partition(cut, 0)
    return warehouse.rows(
        "SELECT tenant_id, metric, toString(hour), anyIf(cell, side = 0) AS folded, anyIf(cell, side = 1) AS answer, "
        "max(moved) AS moves FROM ("
        f"SELECT 1 AS side, tenant_id, toString(metric) AS metric, hour, {CELL} AS cell, toUInt8(0) AS moved "
        f"FROM {kept.hours} WHERE {hour} UNION ALL "
        "SELECT 0, tenant_id, toString(metric) AS metric, toStartOfHour(timestamp) AS hour, "
        f"{FOLD}, max(kafka_offset >= {bound}) FROM usage_events_raw FINAL WHERE {kept.of_rows} AND {timestamp} "
        "GROUP BY tenant_id, metric, hour UNION ALL "
        "SELECT 2, tenant_id, toString(metric) AS metric, hour, CAST([], 'Array(String)'), "
        f"max(version > {bound}) FROM usage_totals FINAL WHERE {hour} GROUP BY tenant_id, metric, hour) "
        "GROUP BY tenant_id, metric, hour HAVING folded != answer "
        f"ORDER BY tenant_id, metric, hour LIMIT {MANY + 1}"
    )


def _again(
    warehouse: Warehouse, kept: Kept, rows: Sequence[Sequence[Any]], cut: Mapping[int, int]
) -> list[Sequence[Any]]:
    """Those of the hours that differ still."""
    found: list[Sequence[Any]] = []
    for start in range(0, len(rows), _AT_ONCE):
        keys = ", ".join(
            f"({text(tenant)}, {text(metric)}, toDateTime({text(hour)}, 'UTC'))"
            for tenant, metric, hour, *_cells in rows[start : start + _AT_ONCE]
        )
        found += _differing(
            warehouse,
            kept,
            f"(tenant_id, metric, hour) IN ({keys})",
            f"(tenant_id, metric, toStartOfHour(timestamp)) IN ({keys})",
            cut,
        )
    return found
