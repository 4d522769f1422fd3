"""Quotas are asked from memory; the events behind them only where a counter may not have begun yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from meterline_api.catalog import Catalog
from meterline_api.door import Barrier
from meterline_api.quotas.check import QuotaStatus
from meterline_api.quotas.counters import Counters
from meterline_api.quotas.desk import Desk
from meterline_schemas.catalog import Action, Entry, Metric, Quota, Threshold
from meterline_schemas.counter import SURELY_KNOWN
from meterline_schemas.errors import UnavailableError
from meterline_schemas.kafka_tail import Followed
from meterline_schemas.periods import FIRST, LAST
from tests.api.counters import counter

PARTITIONS = 4
NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
ORDERS = Metric(key="orders")


class Tables:
    """Answers every question with one row, or not at all."""

    def __init__(self, away: bool = False) -> None:
        self.asked = 0
        self.away = away

    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]:
        self.asked += 1
        if self.away:
            raise UnavailableError("away")
        return [(0, 2, "9.5", "1", "8.5", "8.5", 0, "id")]


def desk(tables: Tables, *entries: Entry, counters: Counters | None = None) -> Desk:
    catalog = Catalog()
    catalog.apply(
        Followed("meterline.config", 0, offset, entry.record_key, entry.encode())
        for offset, entry in enumerate([ORDERS, *entries])
    )
    return Desk(catalog, counters or Counters(PARTITIONS), tables)


def for_all(changed_at: datetime) -> Quota:
    return Quota.model_validate({"metric": "orders", "included": "50", "changed_at": changed_at})


def ask(desk: Desk, *tenants: str) -> list[QuotaStatus]:
    async def each() -> list[QuotaStatus]:
        return [await desk.check(tenant, ORDERS, "", NOW) for tenant in tenants]

    return asyncio.run(each())


@pytest.mark.parametrize(
    ("changed_at", "asked"),
    [
        (START - timedelta(days=90), 0),
        (START - SURELY_KNOWN, 0),
        (START - SURELY_KNOWN + timedelta(seconds=1), 1),
        (NOW, 1),
    ],
)
def test_events_are_read_only_where_the_limit_is_newer_than_the_period(changed_at: datetime, asked: int) -> None:
    tables = Tables()
    (status,) = ask(desk(tables, for_all(changed_at)), "acme")
    assert tables.asked == asked
    assert (status.used, status.provisional) == (("9.5", True) if asked else ("0", False))


def test_what_was_read_is_kept_and_a_counter_stands_before_it() -> None:
    tables, counters = Tables(), Counters(PARTITIONS)
    asking = desk(tables, for_all(NOW), counters=counters)
    ask(asking, "acme", "acme", "acme")
    assert tables.asked == 1
    began = counter("acme", PARTITIONS, start=START, end=END, count=1, sum="11")
    counters.apply(began.kafka_partition, began.key.record_key(), msgspec.json.encode(began))
    (status,) = ask(asking, "acme")
    assert (status.used, status.provisional, tables.asked) == ("11", False, 1)


def test_where_clickhouse_is_away_memory_answers_and_it_is_left_alone_for_a_while() -> None:
    tables = Tables(away=True)
    found = ask(desk(tables, for_all(NOW)), "acme", "other", "acme")
    assert [(status.used, status.provisional) for status in found] == [("0", True)] * 3
    assert tables.asked == 1


def barrier_of(asking: Desk) -> Barrier:
    barrier = asking.barrier(NOW)
    assert barrier is not None
    return barrier


def test_where_no_threshold_blocks_there_is_no_barrier_until_one_does() -> None:
    alerts = Threshold.model_validate({"id": "tell", "metric": "orders", "amount": "10"})
    assert desk(Tables(), alerts).barrier(NOW) is None
    asking = desk(Tables(), alerts, alerts.model_copy(update={"id": "stop", "action": Action.BLOCK}))
    assert asking.barrier(NOW) is not None


def test_the_barrier_never_waits_for_clickhouse() -> None:
    tables = Tables()
    stop = Threshold.model_validate({"id": "stop", "metric": "orders", "action": "block", "changed_at": NOW})
    asking = desk(tables, for_all(NOW), stop)
    assert barrier_of(asking)("acme", "orders", "", NOW) == ""
    assert barrier_of(asking)("acme", "never defined", "", NOW) == ""
    assert tables.asked == 0


def test_only_events_of_the_period_that_is_used_up_are_refused() -> None:
    counters = Counters(PARTITIONS)
    used_up = counter("acme", PARTITIONS, start=START, end=END, count=1, sum="11")
    counters.apply(used_up.kafka_partition, used_up.key.record_key(), msgspec.json.encode(used_up))
    stop = Threshold.model_validate({"id": "stop", "metric": "orders", "action": "block", "amount": "10"})
    barrier = barrier_of(desk(Tables(), stop, counters=counters))
    moment = timedelta(milliseconds=1)
    told = [barrier("acme", "orders", "", at) != "" for at in (START - moment, START, NOW, END - moment, END)]
    assert told == [False, True, True, True, False]


def test_what_never_begins_anew_refuses_events_of_all_times() -> None:
    counters = Counters(PARTITIONS)
    used_up = counter("acme", PARTITIONS, start=FIRST, end=LAST, calendar="never", count=1, sum="11")
    counters.apply(used_up.kafka_partition, used_up.key.record_key(), msgspec.json.encode(used_up))
    stop = {"id": "stop", "metric": "orders", "action": "block", "amount": "10", "period": "never"}
    barrier = barrier_of(desk(Tables(), Threshold.model_validate(stop), counters=counters))
    assert barrier("acme", "orders", "", NOW - timedelta(days=900))
