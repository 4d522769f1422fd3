"""Totals of UTC days by tenant and metric, of days that changed since: a statement for each page of tenants. Pure.

What is counted comes from the totals of hours (``usage_parts``), gauges from their events. A page has every day of its
tenants, so that pages put one behind the other are in the order of tenant, metric and day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.billing.stripe.days import HOUR_MS, DayTotal
from meterline_api.usage.events import Rows as Events
from meterline_api.usage.events import time_weighted
from meterline_api.usage.stretches import Stretch
from meterline_api.usage.windows import Window, Zone, cut
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.quantity import NANO, exact_nano

TENANTS: Final = 5000  # of a page of changes
NAMES: Final = 100_000  # that are listed together: each list reads all there is
_KEYS: Final = {"tenant_id": "u.tenant_id", "metric": "u.metric"}
_EPOCH: Final = date(1970, 1, 1)
_MOST_NAMED: Final = 500  # tenants in one statement

Query = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""A statement and its parameters in, rows out; raises UnavailableError."""


@dataclass(frozen=True)
class Wanted:
    """Days in ``[start, end)`` of ``counted`` metrics and ``gauges``.

    With ``since`` only days of which anything was written from then on; but every day of the tenants and metrics in
    ``wholly``, and for the metrics in ``by_month`` every day of a month of which any day was. A gauge's reading holds
    until the next one: of a gauge with news every day is given.
    """

    start: date
    end: date
    counted: Sequence[Metric]
    gauges: Sequence[Metric]
    since: datetime | None = None
    wholly: tuple[Sequence[str], Sequence[str]] = ((), ())
    by_month: Sequence[str] = ()


class Page(NamedTuple):
    """All tenants from ``first`` to ``last``."""

    first: str
    last: str


def day_totals(query: Query, wanted: Wanted, now: datetime) -> Iterator[DayTotal]:
    """In the order of tenant, metric and day. ``now`` is where a gauge's last reading ends.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    for page in _pages(query, wanted):
        yield from _read(query, _of_page(wanted, page), page, now)


def totals_of(query: Query, wanted: Wanted, tenant_id: str, now: datetime) -> list[DayTotal]:
    """As ``day_totals``, of one tenant."""
    return _read(query, wanted, Page(tenant_id, tenant_id), now)


def _read(query: Query, wanted: Wanted, page: Page, now: datetime) -> list[DayTotal]:
    gauges = {metric.key for metric in wanted.gauges}
    counts = {metric.key for metric in wanted.counted if metric.aggregation is Aggregation.COUNT}
    rows: list[Sequence[Any]] = []
    if wanted.counted:
        rows += query(*counted(wanted, page))
    if gauges:
        rows += query(*held(wanted, page, now))
    return sorted(_total(row, gauges, counts) for row in rows)


def _pages(query: Query, wanted: Wanted) -> Iterator[Page]:
    """Of so many tenants that a page's days fit in memory: where all days are wanted there are many more of each."""
    share = TENANTS if wanted.since is not None else max(1, TENANTS // 10)
    after = ""
    while names := [str(row[0]) for row in query(*tenants(wanted, after))]:
        for start in range(0, len(names), share):
            some = names[start : start + share]
            yield Page(some[0], some[-1])
        after = names[-1]


def tenants(wanted: Wanted, after: str) -> tuple[str, dict[str, Any]]:
    """The next tenants that have any usage in the range."""
    parameters: dict[str, Any] = {
        "after": after,
        "metrics": [metric.key for metric in (*wanted.counted, *wanted.gauges)],
        "limit": NAMES,
        **_range(wanted),
    }
    # of a gauge a reading before the range may hold in it
    where = (
        "tenant_id > {after:String} AND metric IN {metrics:Array(String)} AND hour < toDateTime({end:UInt32}, 'UTC')"
    )
    if not wanted.gauges:
        where += " AND hour >= toDateTime({start:UInt32}, 'UTC')"
    union = " UNION ALL ".join(
        f"SELECT tenant_id FROM {table} WHERE {where}" for table in ("usage_totals", "usage_late_totals")
    )
    return f"SELECT DISTINCT tenant_id FROM ({union}) ORDER BY tenant_id LIMIT {{limit:UInt32}}", parameters


def counted(wanted: Wanted, page: Page) -> tuple[str, dict[str, Any]]:
    """Columns: tenant, metric, day (days since 1970), number of events, and their sum."""
    parameters: dict[str, Any] = {
        **page._asdict(),
        "metrics": [metric.key for metric in wanted.counted],
        **_range(wanted),
    }
    where = (
        "u.tenant_id BETWEEN {first:String} AND {last:String} AND u.metric IN {metrics:Array(String)} "
        "AND u.hour >= toDateTime({start:UInt32}, 'UTC') AND u.hour < toDateTime({end:UInt32}, 'UTC')"
    )
    changed = ""
    if wanted.since is not None:
        day = "if(metric IN {by_month:Array(String)}, toStartOfMonth(hour, 'UTC'), toDate(hour, 'UTC'))"
        news = " UNION ALL ".join(
            f"SELECT tenant_id, metric, {day} AS moved FROM {table} AS u WHERE {where} "
            "AND u.inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
            for table in ("usage_totals", "usage_late_totals")
        )
        of = day.replace("hour", "u.hour").replace("metric IN", "u.metric IN")
        changed = (
            f" AND ((u.tenant_id, u.metric, {of}) IN ({news}) OR u.tenant_id IN {{whole_tenants:Array(String)}} "
            "OR u.metric IN {whole_metrics:Array(String)})"
        )
        parameters |= _since(wanted)
    sql = (
        "SELECT u.tenant_id, u.metric, toUInt16(toDate(u.hour, 'UTC')) AS day, sum(u.count), toString(sum(u.sum)) "
        f"FROM usage_parts AS u WHERE {where}{changed} GROUP BY u.tenant_id, u.metric, day"
    )
    return sql, parameters


def held(wanted: Wanted, page: Page, now: datetime) -> tuple[str, dict[str, Any]]:
    """Columns as those of ``counted``; the last is unit x milliseconds."""
    start, end = (_second(day) for day in (wanted.start, wanted.end))
    where = " AND u.tenant_id BETWEEN {first:String} AND {last:String}"
    parameters: dict[str, Any] = page._asdict()
    if wanted.since is not None:
        # the last day always: a reading holds on, whether anything new came or not
        news = (
            "SELECT tenant_id, metric FROM usage_events_raw WHERE tenant_id BETWEEN {first:String} AND {last:String} "
            "AND metric IN {gauges:Array(String)} AND inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
        )
        parameters |= _since(wanted)
        changed = (
            f"(tenant_id, metric) IN ({news}) OR tenant_id IN {{whole_tenants:Array(String)}} "
            "OR metric IN {whole_metrics:Array(String)} OR metric IN {by_month:Array(String)} "
            "OR window_start >= toUnixTimestamp(toStartOfDay(fromUnixTimestamp64Milli({since:Int64}, 'UTC'), 'UTC')) "
            "- 86400"
        )
    else:
        changed = "1"
    stretch = Stretch(cut(Window.DAY, Zone(), start, end), "days")
    milliseconds = int(now.timestamp() * 1000)
    branch = time_weighted(Events(stretch, where, _KEYS), wanted.gauges, milliseconds)
    sql = (
        "SELECT tenant_id, metric, toUInt16(intDiv(window_start, 86400)), events, computed "
        f"FROM ({branch.sql}) WHERE {changed}"
    )
    return sql, stretch.parameters | branch.parameters | parameters


def _total(row: Sequence[Any], gauges: set[str], counts: set[str]) -> DayTotal:
    tenant_id, metric, day, events, amount = row
    when = _EPOCH + timedelta(days=int(day))
    if metric in gauges:
        return DayTotal(tenant_id, metric, when, exact_nano(amount), NANO * HOUR_MS)
    return DayTotal(tenant_id, metric, when, int(events) * NANO if metric in counts else exact_nano(amount))


def _of_page(wanted: Wanted, page: Page) -> Wanted:
    """With the tenants of the page alone and, where many of them are wanted wholly, with every day of all of them."""
    whole = [name for name in wanted.wholly[0] if page.first <= name <= page.last]
    since = wanted.since if len(whole) <= _MOST_NAMED else None
    return replace(wanted, since=since, wholly=(whole, wanted.wholly[1]))


def _range(wanted: Wanted) -> dict[str, int]:
    return {"start": _second(wanted.start), "end": _second(wanted.end)}


def _since(wanted: Wanted) -> dict[str, Any]:
    assert wanted.since is not None  # noqa: S101
    return {
        "since": int(wanted.since.timestamp() * 1000),
        "whole_tenants": list(wanted.wholly[0]),
        "whole_metrics": list(wanted.wholly[1]),
        "by_month": list(wanted.by_month),
    }


def _second(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp())
