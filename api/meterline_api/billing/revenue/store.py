"""Invoiced revenue, added up from the lines of all documents as ClickHouse has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from meterline_api.billing.invoices.quantities import Tables
from meterline_api.billing.revenue.months import BEFORE_END, begin_of
from meterline_schemas.billing.invoice import DocumentKind, LineKind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MONTH: Final = (
    f"toYear(i.period_end - INTERVAL {BEFORE_END // timedelta(hours=1)} HOUR) * 12 "
    f"+ toMonth(i.period_end - INTERVAL {BEFORE_END // timedelta(hours=1)} HOUR) - 1"
)
_PARTS: Final = {str(kind): f"i.kind = '{DocumentKind.INVOICE}' AND l.kind = '{kind}'" for kind in LineKind} | {
    "credit": f"i.kind = '{DocumentKind.CREDIT_NOTE}'",
    "total": "1",
}


class Group(StrEnum):
    """What rows are told apart by, besides months and currencies. Closed."""

    TENANT = "tenant_id"
    METRIC = "metric"


class Revenue(NamedTuple):
    """What the documents of a month come to. ``previous`` is the total of the month before; None: it had no lines.

    ``tenant_id`` and ``metric`` are empty where rows are not told apart by them, ``metric`` also where a line has none.
    The parts sum to ``total``: lines of invoices by their kind, and ``credit``, all that credit notes take back.
    """

    tenant_id: str
    metric: str
    currency: str
    month: int
    base_fee: Decimal
    usage: Decimal
    adjustment: Decimal
    manual: Decimal
    credit: Decimal
    total: Decimal
    previous: Decimal | None

    @property
    def place(self) -> Place:
        return self.tenant_id, self.metric, self.currency, self.month


Place = tuple[str, str, str, int]
"""Where a row stands in the order of all."""


@dataclass(frozen=True)
class Wanted:
    """Revenue of the months ``[first, last)``. ``after``: the place of the last row that was given."""

    first: int
    last: int
    groups: frozenset[Group] = frozenset()
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    after: Place | None = None
    limit: int = 1000


async def page(tables: Tables, wanted: Wanted) -> list[Revenue]:
    """By tenant, metric, currency and month; one more than ``limit`` where there are more.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    lines, parameters = _lines(wanted)
    parts = ", ".join(f"sumIf(n.{name}, shift = 0) AS {name}" for name in _PARTS)
    having = ["countIf(shift = 0) > 0", "month >= {first:Int32}"]
    if wanted.after is not None:
        having.append("(tenant, about, money, month) > ({t:String}, {m:String}, {c:String}, {n:Int32})")
        parameters |= dict(zip("tmcn", wanted.after, strict=True))
    sql = (
        f"SELECT n.tenant AS tenant, n.about AS about, n.money AS money, toInt32(n.own + shift) AS month, {parts}, "
        f"if(countIf(shift = 1) > 0, sumIf(n.total, shift = 1), NULL) AS previous FROM ({lines}) AS n "
        f"ARRAY JOIN [0, 1] AS shift GROUP BY tenant, about, money, month HAVING {' AND '.join(having)} "
        "ORDER BY tenant, about, money, month LIMIT {limit:UInt32}"
    )
    shown = ", ".join(f"toString(r.{name})" for name in (*_PARTS, "previous"))
    rows = await tables.rows(f"SELECT r.tenant, r.about, r.money, r.month, {shown} FROM ({sql}) AS r", parameters)
    return [_revenue(row) for row in rows]


def _lines(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Sums of lines by what rows are told apart by, of the months and of the one before them."""
    tenant = "i.tenant_id" if Group.TENANT in wanted.groups else "''"
    metric = "l.metric" if Group.METRIC in wanted.groups else "''"
    bounds = {
        name: begin_of(month) + BEFORE_END for name, month in (("since", wanted.first - 1), ("until", wanted.last))
    }
    where = [
        f"i.period_end {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"
        for sign, name in ((">=", "since"), ("<", "until"))
    ]
    parameters: dict[str, Any] = {name: (moment - _EPOCH) // _MILLISECOND for name, moment in bounds.items()}
    parameters |= {"first": wanted.first, "limit": wanted.limit + 1}
    if wanted.tenants is not None:
        where.append("i.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(wanted.tenants)
    if wanted.metric is not None:
        where.append("l.metric = {metric:String}")
        parameters["metric"] = wanted.metric
    if wanted.after is not None and Group.TENANT in wanted.groups:
        where.append("i.tenant_id >= {t:String}")
    sums = ", ".join(f"sumIf(toDecimal256(l.amount, 9), {test}) AS {name}" for name, test in _PARTS.items())
    sql = (
        f"SELECT {tenant} AS tenant, {metric} AS about, i.currency AS money, {_MONTH} AS own, {sums} "
        f"FROM invoices_raw AS i FINAL ARRAY JOIN i.lines AS l WHERE {' AND '.join(where)} "
        "GROUP BY tenant, about, money, own"
    )
    return sql, parameters


def _revenue(row: Sequence[Any]) -> Revenue:
    tenant, metric, currency, month, base_fee, usage, adjustment, manual, credit, total, previous = row
    return Revenue(
        str(tenant),
        str(metric),
        str(currency),
        int(month),
        Decimal(base_fee),
        Decimal(usage),
        Decimal(adjustment),
        Decimal(manual),
        Decimal(credit),
        Decimal(total),
        None if previous is None else Decimal(previous),
    )
