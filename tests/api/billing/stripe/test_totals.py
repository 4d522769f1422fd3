"""Totals of days from a real ClickHouse equal an independent count of the events; with a cut, of what changed since."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from meterline_api.billing.stripe import totals as statements
from meterline_api.billing.stripe.totals import Wanted, day_totals
from meterline_api.clickhouse import ClickHouse
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse as Tables
from tests.api.oracle import Reading, distinct, totals, utc
from tests.support.late import insert_events

CALLS = Metric(key="calls", aggregation=Aggregation.COUNT)
ORDERS = Metric(key="orders", aggregation=Aggregation.SUM)
DISK = Metric(key="disk", aggregation=Aggregation.TIME_WEIGHTED)
START, END = date(2026, 10, 30), date(2026, 11, 4)
NOW = utc(2026, 11, 3, 18)
Answer = dict[tuple[str, str, date], Fraction]


@pytest.fixture(scope="module")
def edges(module_database: ClickHouseSettings) -> Iterator[tuple[Tables, ClickHouse]]:
    tables, api = Tables(module_database, module_database.database), ClickHouse(module_database, 30)
    yield tables, api
    tables.close()
    api.close()


def reading(number: int, *, late: bool = False, metric: str = "", at: datetime | None = None) -> Reading:
    tenant = ("acme", "b'c\\", "ü")[number % 3]
    when = at or utc(2026, 10, 29, 12) + timedelta(minutes=number * 37)
    name = metric or ("calls", "orders", "disk")[number % 7 % 3]
    return Reading(tenant, name, when, f"id-{number}", Decimal(number % 11) / 4, subject=f"s{number % 2}", late=late)


def write(tables: Tables, story: list[Reading]) -> None:
    insert_events(tables, b"\n".join(each.line() for each in story))
    folded = totals(story)
    if folded:
        tables.insert("usage_totals", b"\n".join(folded))


def recount(events: list[Reading]) -> Answer:
    """By day, one event after the other."""
    found: Answer = defaultdict(Fraction)
    gauges: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    for event in distinct(events):
        if event.metric == "disk":
            gauges[event.tenant_id, event.subject].append(event)
        elif START <= event.timestamp.date() < END:
            amount = Fraction(1) if event.metric == "calls" else Fraction(event.quantity)
            found[event.tenant_id, event.metric, event.timestamp.date()] += amount
    for (tenant, _subject), readings in gauges.items():
        readings.sort(key=lambda each: (each.timestamp, each.id))
        for one, after in zip(readings, [*readings[1:], None], strict=True):
            at, until = one.timestamp, after.timestamp if after is not None else NOW
            while at < until:
                edge = min(until, datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1))
                if START <= at.date() < END:
                    hours = Fraction((edge - at) // timedelta(milliseconds=1), 3_600_000)
                    found[tenant, "disk", at.date()] += Fraction(one.quantity) * hours
                at = edge
    return dict(found)


def ask(api: ClickHouse, **more: object) -> Answer:
    wanted = Wanted(START, END, [CALLS, ORDERS], [DISK], **more)  # type: ignore[arg-type]
    found = list(day_totals(api.rows_now, wanted, NOW))
    assert [each[:3] for each in found] == sorted({each[:3] for each in found})
    return {each[:3]: Fraction(each.amount, each.per) for each in found}


def not_nothing(answer: Answer) -> Answer:
    return {key: amount for key, amount in answer.items() if amount}


def test_totals_of_days_equal_the_events_also_page_by_page_and_since_a_cut(
    edges: tuple[Tables, ClickHouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, api = edges
    story = [reading(number, late=number % 5 == 0) for number in range(200)]
    write(tables, story)
    whole = ask(api)
    assert not_nothing(whole) == not_nothing(recount(story))
    assert {day for _tenant, _metric, day in whole} == {START + timedelta(days=n) for n in range(5)}
    monkeypatch.setattr(statements, "TENANTS", 1)
    monkeypatch.setattr(statements, "NAMES", 2)
    assert ask(api) == whole

    time.sleep(0.05)  # the cut lies between two inserts, which ClickHouse stamps itself
    since = datetime.now(UTC)
    moment = utc(2026, 10, 31, 5)
    more = [reading(901, late=True, metric="orders", at=moment), reading(902, late=True, metric="calls", at=moment)]
    write(tables, more)
    expected = not_nothing(recount(story + more))
    news = {(each.tenant_id, each.metric, moment.date()) for each in more}
    found = not_nothing(ask(api, since=since))
    assert found.items() <= expected.items()
    assert news <= found.keys()
    assert {key for key in found if key[1] != "disk"} == news, "gauges hold on, of the others only what changed"
    month = not_nothing(ask(api, since=since, by_month=["orders"]))
    (orders,) = (each.tenant_id for each in more if each.metric == "orders")
    of_month = {key for key in expected if key[:2] == (orders, "orders") and key[2].month == 10}
    assert of_month <= month.keys()
    acme = not_nothing(ask(api, since=since, wholly=(["acme"], [])))
    assert {key for key in expected if key[0] == "acme"} <= acme.keys()
    calls = not_nothing(ask(api, since=since, wholly=([], ["calls"])))
    assert {key for key in expected if key[1] == "calls"} <= calls.keys()
    write(tables, [reading(903, metric="disk", at=utc(2026, 10, 31, 7), late=True)])
    assert ("acme", "disk", date(2026, 11, 1)) in ask(api, since=since)
