"""Bases are what the events below an offset come to, computed by ClickHouse, against an independent count."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from meterline_api.clickhouse import ClickHouse
from meterline_api.quotas.bases import Bases
from meterline_api.quotas.counters import Counters
from meterline_api.quotas.publisher import Publisher
from meterline_api.quotas.recount import MOST_SCOPES
from meterline_schemas.counter import Base, Counter
from meterline_schemas.errors import UnavailableError
from meterline_schemas.periods import FIRST, LAST
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse as Sink
from tests.api.counters import counter
from tests.services.clickhouse import ClickHouseServer, execute
from tests.sinks.usage import START, Event, events, fold, standing
from tests.support.cluster import read_all
from tests.support.streams import wait_until

PARTITIONS = 3
LINES = events(11, 900, PARTITIONS)
END = 900
DAY = START.replace(hour=0) + timedelta(days=1)
NAMES = ["'; DROP TABLE usage_events_raw; --", 'a "b" \\ {start:Int64}', "名\x01", "%s %(metric)s"]


@pytest.fixture(scope="module")
def tables(module_database: ClickHouseSettings) -> ClickHouseSettings:
    odd = [
        Event(name, "calls", DAY, f"odd-{number}", Decimal(number + 1), False, 0, number)
        for number, name in enumerate(NAMES)
    ]
    edge = Sink(module_database, module_database.database)
    # repeats of an event must stay rows of their own, as they are until ClickHouse merges the parts
    execute(module_database, f"SYSTEM STOP MERGES {module_database.database}.usage_events_raw")
    for first in range(0, len(LINES), 100):
        edge.insert("usage_events_raw", b"\n".join(event.line() for event in LINES[first : first + 100]))
    edge.insert("usage_events_raw", b"\n".join(event.line() for event in odd))
    edge.close()
    return module_database


@pytest.fixture
def passed(tables: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    """The tables, with progress beyond all events."""
    progress(tables, dict.fromkeys(range(PARTITIONS), END))
    yield tables
    execute(tables, f"TRUNCATE TABLE {tables.database}.usage_progress")


def progress(settings: ClickHouseSettings, reached: Mapping[int, int], topic: str = "usage.accepted") -> None:
    edge = Sink(settings, settings.database)
    rows = [{"topic": topic, "kafka_partition": at, "next_offset": offset} for at, offset in reached.items()]
    edge.insert("usage_progress", b"\n".join(json.dumps(row).encode() for row in rows))
    edge.close()


class Watched:
    """The tables, and how often they were asked."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.edge = ClickHouse(settings, 30)
        self.asked = 0

    def rows_now(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]:
        self.asked += 1
        return self.edge.rows_now(sql, parameters, settings)

    def close(self) -> None:
        self.edge.close()


def lacking(tenant_id: str, partition: int, since: int, start: datetime, end: datetime, **more: Any) -> Counter:
    return counter(
        tenant_id, PARTITIONS, **{"metric": "calls", **more}, kafka_partition=partition, since=since, start=start,
        end=end, complete=False,
    )  # fmt: skip


def counters_of(*found: Counter) -> Counters:
    counters = Counters()
    for each in found:
        assert counters.apply(each.kafka_partition, each.key.record_key(), msgspec.json.encode(each)) is None
    return counters


def bases(kafka: str, prefix: str, counters: Counters, tables: Watched, seconds: float = 0.05) -> Bases:
    topic = Publisher({"bootstrap.servers": kafka}, prefix + "usage.bases")
    return Bases(counters, lambda: True, is_gauge, tables, topic, seconds)


def written(kafka: str, prefix: str) -> list[tuple[int, Base]]:
    """Partition and base of each record, its key checked."""
    found = []
    for message in read_all(kafka, prefix + "usage.bases"):
        base = msgspec.json.decode(message.value() or b"", type=Base)
        assert message.key() == base.key.record_key()
        found.append((message.partition() or 0, base))
    return found


def is_gauge(metric: str) -> bool:
    return metric == "storage"


def expected(of: Counter) -> tuple[Any, ...]:
    before = [
        event
        for event in standing(LINES)
        if (event.tenant_id, event.metric, event.partition) == (of.tenant_id, of.metric, of.kafka_partition)
        and event.offset < of.since
        and event.timestamp < of.end
        and of.subject in ("", f"user-{event.offset % 7}")
    ]
    group = [event for event in before if event.timestamp >= of.start]
    if group:
        return fold(group)
    nothing = (0, Decimal(0), Decimal(0), Decimal(0))
    return (*nothing, *fold(before)[-3:]) if before and is_gauge(of.metric) else (*nothing, Decimal(0), None, "")


def said(base: Base) -> tuple[Any, ...]:
    amounts = [Decimal(text) for text in (base.sum, base.min, base.max, base.last)]
    return (base.count, *amounts, base.last_timestamp, base.last_id)


def some_counters(count: int) -> list[Counter]:
    """Of tenants and subjects, in periods of several lengths, begun at all kinds of offsets."""
    chance = random.Random(5)
    periods = [
        (FIRST, LAST, "never"),
        (DAY, DAY + timedelta(days=1), "daily"),
        (DAY.replace(day=1), (DAY + timedelta(days=31)).replace(day=1), "monthly"),
        (START, START + timedelta(hours=1), "hourly"),
        (DAY + timedelta(days=60), DAY + timedelta(days=61), "daily"),
    ]
    found = {}
    for _ in range(count):
        tenant = chance.randrange(14)  # two of them have no events
        start, end, calendar = chance.choice(periods)
        made = lacking(
            f"tenant-{tenant}", tenant % PARTITIONS, chance.randrange(1, END + 1), start, end, calendar=calendar,
            metric=chance.choice(["calls", "storage"]), subject=chance.choice(["", "", "user-1", "user-4"]),
        )  # fmt: skip
        found[made.key] = made
    return list(found.values())


def test_bases_equal_an_independent_count(kafka: str, topics: str, passed: ClickHouseSettings) -> None:
    counters = some_counters(300)
    assert bases(kafka, topics, counters_of(*counters), Watched(passed)).look() == len(counters)
    found = {base.key: (partition, base) for partition, base in written(kafka, topics)}
    assert len(found) == len(counters)
    for each in counters:
        partition, base = found[each.key]
        assert (partition, base.since) == (each.kafka_partition, each.since)
        assert said(base) == expected(each), each
    assert sum(base.count for _partition, base in found.values()) > 500
    assert any(base.count == 0 and base.last_id for _partition, base in found.values()), "a reading that still holds"


def test_a_base_waits_until_all_earlier_events_are_in_clickhouse(
    kafka: str, topics: str, tables: ClickHouseSettings
) -> None:
    first, other = (lacking(f"tenant-{n}", n, 500, FIRST, LAST) for n in (1, 2))
    completing = bases(kafka, topics, counters_of(first, other), Watched(tables))
    try:
        progress(tables, {1: 900, 2: 900}, "usage.totals")
        progress(tables, {1: 499})
        assert completing.look() == 0
        progress(tables, {1: 500})
        assert completing.look() == 1
        assert [base.key for _partition, base in written(kafka, topics)] == [first.key]
    finally:
        execute(tables, f"TRUNCATE TABLE {tables.database}.usage_progress")


def test_thousands_of_counters_are_a_few_questions(kafka: str, topics: str, passed: ClickHouseSettings) -> None:
    chance = random.Random(3)
    many = [lacking(f"tenant-{n}", 0, chance.randrange(1, END), FIRST, LAST) for n in range(10_000)]
    tables = Watched(passed)
    assert bases(kafka, topics, counters_of(*many), tables).look() == 10_000
    assert tables.asked == 1 + 10_000 // MOST_SCOPES
    found = {base.tenant_id: base for _partition, base in written(kafka, topics)}
    assert len(found) == 10_000
    for each in many[:12]:
        assert said(found[each.tenant_id]) == expected(each)


def test_a_base_is_written_once_and_again_for_a_later_beginning(
    kafka: str, topics: str, passed: ClickHouseSettings
) -> None:
    counters = counters_of(lacking("tenant-0", 0, 300, FIRST, LAST))
    completing = bases(kafka, topics, counters, Watched(passed))
    assert [completing.look(), completing.look()] == [1, 0]
    later = lacking("tenant-0", 0, 600, FIRST, LAST)
    counters.apply(0, later.key.record_key(), msgspec.json.encode(later))
    assert completing.look() == 1
    assert [base.since for _partition, base in written(kafka, topics)] == [300, 600]


def test_several_processes_write_the_same(kafka: str, topics: str, passed: ClickHouseSettings) -> None:
    counters = some_counters(40)
    for _ in range(2):
        bases(kafka, topics, counters_of(*counters), Watched(passed)).look()
    found: dict[Any, list[Base]] = {}
    for _partition, base in written(kafka, topics):
        found.setdefault(base.key, []).append(base)
    assert len(found) == len(counters)
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in found.values())


def test_nothing_is_asked_where_nothing_is_lacking(kafka: str, topics: str, passed: ClickHouseSettings) -> None:
    complete = counter("tenant-0", PARTITIONS, start=FIRST, end=LAST, since=5)
    new = lacking("tenant-1", 1, 0, FIRST, LAST)
    tables = Watched(passed)
    assert bases(kafka, topics, counters_of(complete, new), tables).look() == 0
    assert tables.asked == 0


def test_names_are_values_and_never_sql(kafka: str, topics: str, passed: ClickHouseSettings) -> None:
    odd = [lacking(name, 0, END, FIRST, LAST) for name in NAMES]
    strange = lacking("tenant-0", 0, END, FIRST, LAST, metric="m' OR 1 --", subject="'")
    assert bases(kafka, topics, counters_of(*odd, strange), Watched(passed)).look() == len(odd) + 1
    found = {base.tenant_id: base for _partition, base in written(kafka, topics)}
    assert [(found[name].count, found[name].sum) for name in NAMES] == [(1, str(n + 1)) for n in range(len(NAMES))]
    assert found["tenant-0"].count == 0


def test_without_clickhouse_it_says_so_once_and_goes_on_when_it_is_back(
    kafka: str,
    topics: str,
    passed: ClickHouseSettings,
    clickhouse_server: ClickHouseServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables = Watched(passed)
    completing = bases(kafka, topics, counters_of(lacking("tenant-0", 0, END, FIRST, LAST)), tables)
    clickhouse_server.kill()
    with pytest.raises(UnavailableError):
        completing.look()
    completing.start()
    wait_until(lambda: tables.asked >= 4, 60, "it tried again and again")
    clickhouse_server.start()
    wait_until(lambda: len(written(kafka, topics)) == 1, 60, "the base is written")
    completing.stop()
    completing.join(30)
    assert caplog.text.count("stay provisional") == 1


def test_without_kafka_nothing_counts_as_written(topics: str, passed: ClickHouseSettings) -> None:
    class Away:
        def publish(self, records: object) -> None:
            raise UnavailableError("away")

    counters = counters_of(lacking("tenant-0", 0, END, FIRST, LAST))
    completing = Bases(counters, lambda: True, is_gauge, Watched(passed), Away())
    for _ in range(2):
        with pytest.raises(UnavailableError):
            completing.look()
