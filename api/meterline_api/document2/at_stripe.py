"""Which features' usage is at Stripe, from the tables: a statement for what it was told, and one for what was used."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from meterline_api.billing.invoices.document import changes_of
from meterline_api.billing.invoices.store import Store
from meterline_api.billing.invoices.store import Wanted as Documents
from meterline_api.billing.stripe.days import DayTotal, beyond_included
from meterline_api.billing.stripe.terms import Terms
from meterline_api.billing.stripe.totals import Wanted, totals_of
from meterline_api.clickhouse import ClickHouse
from meterline_api.document2.forms import Feature
from meterline_api.document2.reported import by_items, by_meter, days_of
from meterline_api.problems import Code, Problem
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Status
from meterline_schemas.catalog import Book
from meterline_schemas.catalog.stripe_meter import IncludedMode
from meterline_schemas.errors import UnavailableError

_MOST: Final = 10_000  # invoices of a tenant that are looked at
_DAY: Final = timedelta(days=1)

Delivered = Mapping[str, Mapping[date, int]]


async def at_stripe(
    tables: ClickHouse, book: Book, tenant_id: str, features: Sequence[Feature], now: datetime
) -> list[Feature]:
    """The features of a tenant, in any periods, with what is said of Stripe.

    Raises:
        Problem: 503, ClickHouse does not answer.
    """
    if not features:
        return []
    try:
        metered, charged = await asyncio.gather(
            _metered(tables, Terms(book), tenant_id, features, now), _charged(tables, tenant_id, features)
        )
    except UnavailableError as error:
        headers = {"Retry-After": "5"}
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers=headers
        ) from None
    return [replace(feature, reported=place in metered or place in charged) for place, feature in enumerate(features)]


async def _metered(
    tables: ClickHouse, terms: Terms, tenant_id: str, features: Sequence[Feature], now: datetime
) -> set[int]:
    """The places of the features that meters have."""
    meters = terms.meters
    mine = {place: each for place, each in enumerate(features) if each.metric.key in meters}
    if not mine:
        return set()
    first = min(days_of(each.start, each.end)[0] for each in mine.values())
    last = max(days_of(each.start, each.end)[1] for each in mine.values())
    delivered = await _delivered(tables, tenant_id, {each.metric.key for each in mine.values()}, first, last)
    told = {place: each for place, each in mine.items() if any(_told(each, delivered))}
    if not told:
        return set()
    totals = await asyncio.to_thread(_totals, tables, terms, tenant_id, list(told.values()), now)
    return {
        place
        for place, each in told.items()
        if by_meter(
            each.start,
            each.end,
            totals.get(each.metric.key, ()),
            delivered[each.metric.key],
            meters[each.metric.key],
        )
    }


def _told(feature: Feature, delivered: Delivered) -> Iterator[date]:
    first, last = days_of(feature.start, feature.end)
    return (day for day in delivered.get(feature.metric.key, ()) if first <= day < last)


async def _delivered(
    tables: ClickHouse, tenant_id: str, metrics: Collection[str], first: date, last: date
) -> dict[str, dict[date, int]]:
    """The values that Stripe took, by metric and day: of each customer and meter the newest one."""
    sql = (
        "SELECT toString(p.metric), toString(p.day), sum(p.value) FROM stripe_pushes_raw AS p FINAL "
        "WHERE p.tenant_id = {tenant:String} AND p.metric IN {metrics:Array(String)} AND p.state = 'delivered' "
        "AND p.day >= toDate32({first:String}) AND p.day < toDate32({last:String}) GROUP BY p.metric, p.day"
    )
    parameters: dict[str, Any] = {"tenant": tenant_id, "metrics": sorted(metrics)}
    found: dict[str, dict[date, int]] = defaultdict(dict)
    for metric, day, value in await tables.rows(sql, parameters | {"first": str(first), "last": str(last)}):
        found[str(metric)][date.fromisoformat(str(day))] = int(value)
    return found


def _totals(
    tables: ClickHouse, terms: Terms, tenant_id: str, features: Sequence[Feature], now: datetime
) -> dict[str, list[DayTotal]]:
    """What was used on each day by metric, as a push goes by it; days that no meter charges as they are."""
    metrics = {each.metric.key for each in features}
    counted, gauges = ([each for each in those if each.key in metrics] for those in terms.metrics())
    first = min(days_of(each.start, each.end)[0] for each in features)
    last = max(days_of(each.start, each.end)[1] for each in features)
    if any(terms.meters[metric].included is IncludedMode.OVERAGE_ONLY for metric in metrics):
        first = first.replace(day=1)
    wanted = Wanted(first, min(last, now.date() + _DAY), counted, gauges)
    used = totals_of(tables.rows_now, wanted, tenant_id, now)
    charged = list(terms.metered(used))
    pushed = list(beyond_included(charged, terms.meters, terms.included))
    found: dict[str, list[DayTotal]] = defaultdict(list)
    for total in (*pushed, *({*used} - {*charged})):
        found[total.metric].append(total)
    return found


async def _charged(tables: ClickHouse, tenant_id: str, features: Sequence[Feature]) -> set[int]:
    """The places of the features that invoice items have."""
    billed = [(place, each, each.bill) for place, each in enumerate(features) if each.bill is not None]
    if not billed:
        return set()
    sql = "SELECT s.number, s.lines FROM stripe_items AS s WHERE s.tenant_id = {tenant:String} AND notEmpty(s.lines)"
    rows = await tables.rows(sql, {"tenant": tenant_id})
    there = {str(number): frozenset(int(line) for line in lines) for number, lines in rows}
    if not there:
        return set()
    oldest = min(each.start for _place, each, _bill in billed)
    wanted = Documents((tenant_id,), DocumentKind.INVOICE, oldest, limit=_MOST)
    standing = [each for each in await Store(tables).page(wanted) if each.status is not Status.VOID]
    by_period: dict[tuple[datetime, datetime], tuple[Invoice, Sequence[Invoice]]] = {
        (each.start, each.end): (each, standing[number + 1 :]) for number, each in enumerate(standing)
    }
    charged = set()
    for place, each, bill in billed:
        if (found := by_period.get((each.start, each.end))) is not None:
            changed = {change.line.metric for change in changes_of(*found, bill)}
            if by_items(each.metric.key, *found, changed, there):
                charged.add(place)
    return charged
