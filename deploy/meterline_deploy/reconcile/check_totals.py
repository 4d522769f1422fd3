"""Check ``totals``: usage_totals = the on-time rows, folded again, per tenant, metric, hour and partition.

A total's version is the offset in ``usage.events`` up to which it counts. Rows are folded up to ``cut``, to which
ClickHouse was written when the check began. Totals that have moved on since are compared on their own, with the rows
up to their version, once these are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from meterline_deploy.reconcile.report import Check, Difference
from meterline_deploy.reconcile.scope import ACCEPTED
from meterline_deploy.reconcile.times import Period
from meterline_deploy.reconcile.warehouse import Warehouse, by_partition, text, texts

FIELDS: Final = ("count", "sum", "min", "max", "last", "last_timestamp", "last_id")
KEY: Final = ("tenant_id", "metric", "hour")
MANY: Final = 100_000  # differences that are fetched at all
_AT_ONCE: Final = 500  # keys in one query

CELL: Final = (
    "[toString(count), toString(sum), toString(min), toString(max), toString(last), toString(last_timestamp), last_id]"
)
FOLD: Final = (
    "[toString(count()), toString(sum(toDecimal256(quantity, 9))), toString(min(quantity)), toString(max(quantity)), "
    "toString(argMax(quantity, (timestamp, id))), toString(max(timestamp)), argMax(id, (timestamp, id))]"
)


def new_check() -> Check:
    return Check("totals", "usage_totals FINAL = on-time rows, per tenant, metric, hour and partition", "hourly totals")


def hours(period: Period, column: str, *, precise: bool = False) -> str:
    """A condition: the hour, or with ``precise`` the timestamp, lies in the period. The period has whole hours."""
    kind = "toDateTime64({}, 3, 'UTC')" if precise else "toDateTime({}, 'UTC')"
    conditions = ["1"]
    for sign, moment in ((">=", period.start), ("<", period.end)):
        if moment is not None:
            conditions.append(f"{column} {sign} " + kind.format(text(moment.strftime("%Y-%m-%d %H:%M:%S"))))
    return " AND ".join(conditions)


def check_totals(
    warehouse: Warehouse, cut: Mapping[int, int], period: Period, limit: int, wait: float, check: Check
) -> None:
    """``wait``: seconds for the rows of totals that have moved on to be written."""
    bound, asked = by_partition(cut, 0), hours(period, "hour")
    ((compared,),) = warehouse.rows(f"SELECT count() FROM usage_totals FINAL WHERE {asked}")
    check.compared = int(compared)
    rows = warehouse.rows(
        "SELECT tenant_id, metric, toString(hour), kafka_partition, max(version) AS version, "
        "anyIf(cell, side = 0) AS folded, anyIf(cell, side = 1) AS total FROM ("
        f"SELECT 1 AS side, tenant_id, toString(metric) AS metric, hour, kafka_partition, version, {CELL} AS cell "
        f"FROM usage_totals FINAL WHERE {asked} UNION ALL "
        "SELECT 0, tenant_id, toString(metric) AS metric, toStartOfHour(timestamp) AS hour, kafka_partition, "
        f"toUInt64(0), {FOLD} FROM usage_events_raw FINAL "
        f"WHERE late = 0 AND kafka_offset < {bound} AND {hours(period, 'timestamp', precise=True)} "
        "GROUP BY tenant_id, metric, hour, kafka_partition) "
        "GROUP BY tenant_id, metric, hour, kafka_partition HAVING folded != total "
        f"ORDER BY tenant_id, metric, hour, kafka_partition LIMIT {MANY + 1}"
    )
    check.at_least = len(rows) > MANY
    moved = []
    for tenant, metric, hour, partition, version, folded, total in rows:
        if int(version) > cut.get(int(partition), 0):
            moved.append((tenant, metric, hour, int(partition), int(version), total))
        else:
            check.add([_difference((tenant, metric, hour), int(partition), folded, total)], limit)
    _check_moved(warehouse, moved, limit, wait, check)


Moved = tuple[str, str, str, int, int, Sequence[str]]  # tenant, metric, hour, partition, version, total


def _check_moved(warehouse: Warehouse, moved: Sequence[Moved], limit: int, wait: float, check: Check) -> None:
    """Totals as they were read, against the rows up to their versions."""
    wanted: dict[tuple[str, int], int] = {}
    for _tenant, _metric, _hour, partition, version, _total in moved:
        wanted[ACCEPTED, partition] = max(version, wanted.get((ACCEPTED, partition), 0))
    warehouse.wait_until_written(wanted, wait)
    for start in range(0, len(moved), _AT_ONCE):
        part = moved[start : start + _AT_ONCE]
        values = ", ".join(
            f"({text(tenant)}, {text(metric)}, {text(hour)}, {partition}, {version})"
            for tenant, metric, hour, partition, version, _total in part
        )
        first, last = min(each[2] for each in part), max(each[2] for each in part)
        folded = {
            (tenant, metric, hour, int(partition)): cell
            for tenant, metric, hour, partition, cell in warehouse.rows(
                f"SELECT tenant_id, metric, hour, kafka_partition, {FOLD} FROM ("
                "SELECT tenant_id, toString(metric) AS metric, toString(toStartOfHour(timestamp)) AS hour, "
                "kafka_partition, kafka_offset, quantity, timestamp, id FROM usage_events_raw FINAL "
                f"WHERE late = 0 AND tenant_id IN {texts({each[0] for each in part})} AND "
                f"toStartOfHour(timestamp) BETWEEN toDateTime({text(first)}, 'UTC') AND toDateTime({text(last)}, 'UTC')"
                ") AS r INNER JOIN values('tenant_id String, metric String, hour String, kafka_partition Int32, "
                f"bound UInt64', {values}) AS v USING (tenant_id, metric, hour, kafka_partition) "
                "WHERE kafka_offset < bound GROUP BY tenant_id, metric, hour, kafka_partition"
            )
        }
        for tenant, metric, hour, partition, _version, total in part:
            cell = folded.get((tenant, metric, hour, partition), ())
            if list(cell) != list(total):
                check.add([_difference((tenant, metric, hour), partition, cell, total)], limit)


def _difference(key: tuple[str, str, str], partition: int, folded: Sequence[str], total: Sequence[str]) -> Difference:
    kind = "different" if folded and total else "no total" if folded else "total without rows"
    return Difference(kind, dict(zip(KEY, key, strict=True)), fields(folded), fields(total), f"partition {partition}")


def fields(cell: Sequence[str]) -> dict[str, str] | None:
    """The parts of an hour by name, None where there is none."""
    return dict(zip(FIELDS, cell, strict=True)) if cell else None
