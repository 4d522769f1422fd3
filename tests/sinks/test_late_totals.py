"""Totals of late events are what the late rows that stand add up to, whatever crashed, came twice or came too late."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterline_schemas.settings import ClickHouseSettings
from meterline_schemas.topics import ACCEPTED
from meterline_sinks import clickhouse as edge
from meterline_sinks.batch import Batch
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.failpoint import Failpoint
from meterline_sinks.late import Cell, late_cells, pieces
from meterline_sinks.late_totals import LOOK, LateTotals, parameters
from meterline_sinks.migrate import migrate, shipped
from meterline_sinks.tables import Tables as Written
from meterline_sinks.writer import Writing
from tests.services.clickhouse import ClickHouseServer
from tests.sinks.conftest import Tables
from tests.sinks.test_views import view
from tests.sinks.usage import START, Event, answers, checkpoints, events, standing, total, window

COLUMNS = "tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id"
ODD = [
    'a "b" \\ {start:Int64}',
    "名\x01",
    "%s %(metric)s",
    "it's",
    "tab\tnew\nline",
    "nul\0",
    "back\\'n",
    "\\N",
    "a,b)",
]


@pytest.fixture(scope="module")
def shared(clickhouse_server: ClickHouseServer) -> Iterator[Tables]:
    """A migrated database, and a table beside for what a look saw that is written later."""
    clickhouse_server.restore()
    found = clickhouse_server.settings("late_totals")
    migrate(found, cluster="")
    made = Tables(found)
    made.command("CREATE TABLE held AS usage_late_totals ENGINE = MergeTree ORDER BY tuple()")
    for name in ("usage_events_raw", "usage_late_totals", "usage_totals"):
        made.command(f"ALTER TABLE {name} MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0")
    yield made
    made.command(f"DROP DATABASE {found.database} SYNC")
    made.close()


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """One partition of usage.accepted: few events, each up to several times; only the first copy can be on time.

    Some lines share an offset, as those of one source record do.
    """
    made: list[Event] = []
    seen: set[object] = set()
    offset = 0
    for _ in range(draw(st.integers(4, 30))):
        offset += draw(st.sampled_from([0, 0, 0, 1, 2]))
        event = Event(
            draw(st.sampled_from(["acme", "acme", "it's"])),
            draw(st.sampled_from(["calls", "calls", "storage"])),
            START + timedelta(minutes=draw(st.sampled_from([0, 1, 2, 59, 60, 3000]))),
            draw(st.sampled_from("ab")),
            Decimal(draw(st.integers(-99, 99))) / 8,
            draw(st.integers(0, 2)) > 0,
            0,
            offset,
        )
        if event.key in {one.key for one in made if one.offset == offset}:
            continue  # told apart by the index of ids
        made.append(event if event.key not in seen else Event(*event.key, event.quantity, True, 0, offset))
        seen.add(event.key)
    return made


class Story:
    """Sinks on one log, step by step; each may die, or go on with what it holds after another took over."""

    def __init__(self, tables: Tables, log: list[Event]) -> None:
        for name in ("usage_events_raw", "usage_late_totals", "held"):
            tables.command(f"TRUNCATE TABLE {name}")
        self._tables, self._log = tables, log
        self._edge = ClickHouse(tables.settings, tables.settings.database)
        self._written = Written(self._edge)
        self._frozen: list[list[Event]] = []
        self.committed = 0

    def batch(self, size: int, ends: str) -> None:
        lines = self._log[self.committed : self.committed + size]
        if ends == "frozen":
            self._frozen.append(lines)
            return
        self._insert(lines)
        if ends == "dies after the rows":
            return
        if ends == "an attempt goes on":  # it looked, was given up, and will write what it saw
            self._edge.command(LOOK_ASIDE, parameters(cells_of(lines)) if cells_of(lines) else NOTHING)
        self._written.add_up_late(cells_of(lines))
        if ends != "dies after the totals":
            self.committed += len(lines)

    def wakes(self) -> None:
        """What was frozen is written now."""
        for lines in self._frozen:
            self._insert(lines)
            self._written.add_up_late(cells_of(lines))
        self._frozen.clear()
        self._tables.command(f"INSERT INTO usage_late_totals ({COLUMNS}) SELECT {COLUMNS} FROM held")

    def _insert(self, lines: list[Event]) -> None:
        if lines:
            self._edge.insert("usage_events_raw", b"\n".join(line.line() for line in lines))

    def close(self) -> None:
        self._edge.close()


LOOK_ASIDE = f"INSERT INTO held ({COLUMNS}) {LOOK}"
NOTHING = parameters([("", "", 0)])
ENDS = ("commits", "commits", "dies after the rows", "dies after the totals", "frozen", "an attempt goes on")


def cells_of(lines: Sequence[Event]) -> list[Cell]:
    return sorted(set().union(*(late_cells(line.line()) for line in lines)))


def late_answers(lines: list[Event]) -> dict[Any, Any]:
    return answers([event for event in standing(lines) if event.late], "hour")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(), steps=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(ENDS), st.booleans()), max_size=8))
def test_hours_equal_a_recount_whatever_dies_comes_twice_or_wakes_up_late(
    shared: Tables, log: list[Event], steps: list[tuple[int, str, bool]]
) -> None:
    shared.command("TRUNCATE TABLE usage_totals")
    story = Story(shared, log)
    for size, ends, wakes in steps:
        story.batch(size, ends)
        if wakes:
            story.wakes()
    while story.committed < len(log):
        story.batch(12, "commits")
    story.wakes()
    story.close()
    hours: dict[Any, list[Event]] = {}
    for event in log:
        if not event.late:
            hours.setdefault((event.tenant_id, event.metric, window(event.timestamp, "hour")), []).append(event)
    if hours:
        shared.insert("usage_totals", [total(group, 1) for group in hours.values()])
    assert view(shared, "hour") == answers(log, "hour")
    kept = shared.rows(
        "SELECT tenant_id, metric, toString(hour), count, sum, min, max, last, last_timestamp, last_id "
        "FROM usage_late_totals FINAL"
    )
    assert {row[:3]: (*row[3:8], row[8].replace(tzinfo=UTC), row[9]) for row in kept} == late_answers(log)


def test_an_attempt_that_ends_late_replaces_nothing_newer_though_it_saw_the_same_offset(shared: Tables) -> None:
    # lines of one source record, in two batches
    log = [Event("acme", "calls", START, f"{n}", Decimal(n), True, 0, 7) for n in range(4)]
    story = Story(shared, log)
    story.batch(2, "an attempt goes on")
    story.batch(2, "commits")
    story.wakes()
    story.close()
    assert shared.rows("SELECT count, sum FROM usage_late_totals FINAL") == [(4, 6)]


def test_a_late_copy_of_an_event_on_time_never_counts(tables: Tables) -> None:
    on_time = Event("acme", "calls", START, "a", Decimal(3), False, 0, 1)
    copy = Event("acme", "calls", START, "a", Decimal(5), True, 0, 900)
    tables.insert("usage_totals", [total([on_time], 2)])
    tables.insert("usage_events_raw", [on_time.line()])
    tables.insert("usage_events_raw", [copy.line()])
    assert view(tables, "hour") == answers([on_time, copy], "hour")
    assert tables.rows("SELECT * FROM usage_late_totals") == [], "nothing stands, so nothing is kept"


def test_names_of_any_kind_are_values(shared: Tables) -> None:
    lines = [Event(name, "calls", START, f"{n}", Decimal(n), True, 0, n) for n, name in enumerate(ODD)]
    shared.insert("usage_events_raw", [line.line() for line in lines])
    found = shared.rows("SELECT tenant_id, sum FROM usage_late_totals FINAL")
    assert {row for row in found if row[0] in ODD} == {(line.tenant_id, line.quantity) for line in lines}


def test_a_batch_of_very_many_hours_is_added_up_in_pieces(tables: Tables) -> None:
    lines = [
        Event(f"{'tenant' * 30}-{n}", "calls", START + timedelta(hours=n % 3), "x", Decimal(n), True, 0, n)
        for n in range(1500)
    ]
    assert len(list(pieces(cells_of(lines)))) > 4
    tables.insert("usage_events_raw", [line.line() for line in lines])
    assert tables.rows("SELECT count(), toInt64(sum(sum)) FROM usage_late_totals FINAL") == [(1500, sum(range(1500)))]


def test_a_database_with_late_events_of_before_has_their_totals_once_it_is_migrated(
    clickhouse: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("meterline_sinks.migrate.shipped", lambda: shipped()[:12])
        assert migrate(clickhouse, cluster="")[-1] == "0011_audit_log.sql"
    tables = Tables(clickhouse)
    bare = ClickHouse(clickhouse, clickhouse.database)
    lines = events(21, 800)
    for checkpoint in checkpoints(lines, 40) * 2:
        bare.insert("usage_events_raw", b"\n".join(checkpoint.accepted))
        if checkpoint.totals:
            bare.insert("usage_totals", b"\n".join(value for _key, value in checkpoint.totals))
    assert view(tables, "hour") == answers(lines, "hour")
    assert migrate(clickhouse, cluster="")[0] == "0012_usage_late_totals.sql"
    assert view(tables, "hour") == answers(lines, "hour")
    bare.command("TRUNCATE TABLE usage_events_raw")
    assert view(tables, "day") == answers(lines, "day"), "no answer reads the events any more"
    bare.close()
    tables.close()


def test_adding_up_reads_the_granules_of_the_hours_asked_for_and_no_others(tables: Tables) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    tables.command(
        "INSERT INTO usage_events_raw (tenant_id, metric, timestamp, id, quantity, late, kafka_offset) "
        "SELECT concat('tenant-', toString(number % 50)), 'calls', "
        "toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + intDiv(number, 50) * 100, toString(number), 1, 1, number "
        "FROM numbers(600000)"
    )
    asked = parameters([(f"tenant-{n}", "calls", int((start + timedelta(hours=30)).timestamp())) for n in (7, 31)])
    plan = "\n".join(row[0] for row in tables.rows("EXPLAIN indexes = 1 " + bound(LOOK, asked)))
    selected, granules = map(int, plan.partition("PrimaryKey")[2].partition("Granules: ")[2].split("\n")[0].split("/"))
    assert granules > 70
    assert selected <= 4, "at most where an hour begins and where it ends, for each cell"


def bound(sql: str, values: Mapping[str, Any]) -> str:
    """EXPLAIN is asked without parameters here."""
    cells = ", ".join(f"('{tenant}', '{metric}', {hour})" for tenant, metric, hour in values["cells"])
    kind = "Array(Tuple(String, String, DateTime('UTC')))"
    return (
        sql.replace("{first:UInt32}", str(values["first"]))
        .replace("{end:UInt32}", str(values["end"]))
        .replace(f"{{cells:{kind}}}", f"({cells})")
    )


def test_an_insert_is_there_at_once_however_many_rows_it_has(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.command("SYSTEM STOP MERGES usage_events_raw")
    body = b"\n".join(Event("a", "b", START, f"{n}", Decimal(n), False, 0, n).line() for n in range(30))
    bare = ClickHouse(tables.settings, tables.settings.database)
    parts = []
    for more in ({}, {"min_insert_block_size_rows": 1, "min_insert_block_size_bytes": 1}):
        tables.command("TRUNCATE TABLE usage_events_raw")
        monkeypatch.setattr(edge, "INSERT_SETTINGS", {**edge.INSERT_SETTINGS, "max_insert_block_size": 10, **more})
        bare.insert("usage_events_raw", body)
        ((count,),) = tables.rows(
            "SELECT count() FROM system.parts WHERE active AND table = 'usage_events_raw' "
            f"AND database = '{tables.settings.database}'"
        )
        parts.append(count)
    bare.close()
    assert parts[0] == 1
    assert parts[1] > 1, "the control: with small blocks others could see a part of it"
    monkeypatch.undo()
    sizes = [int(size) for name, size in edge.INSERT_SETTINGS.items() if name.startswith("min_insert_block_size")]
    assert len(sizes) == 2
    assert min(sizes) > 10**12, "no batch is as large"


class Replicated:
    """A server whose tables are replicated, which cannot run here: it keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.told.append(sql)

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        return [(1,)]


def test_a_replica_fetches_what_others_have_before_each_look() -> None:
    server = Replicated()
    totals = LateTotals(server)
    for _ in range(2):
        totals.add_up([("acme", "calls", 0)])
    totals.add_up([])
    sync = "SYSTEM SYNC REPLICA usage_events_raw LIGHTWEIGHT"
    assert [told if told == sync else told.split()[0] for told in server.told] == [sync, "INSERT"] * 2


@pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")  # of tenacity 9.2
def test_a_line_that_cannot_be_read_is_named_and_holds_up_what_comes_after() -> None:
    class Taking:
        def insert(self, table: str, body: bytes) -> None:
            pass

        def add_up_late(self, cells: object) -> None:
            pass

    batch = Batch()
    batch.add(ACCEPTED, 2, 77, None, b'{"tenant_id": "acme", "late": 1}')
    writing = Writing(batch, Taking(), Failpoint(""))
    while writing.refused is None:
        assert not writing.wait(0.05)
    writing.abandon()
    assert "usage.accepted[2] offset 77 for usage_late_totals" in str(writing.refused)


@given(st.lists(st.tuples(st.text(max_size=300), st.just("calls"), st.integers(0, 2**31)), max_size=400))
def test_pieces_are_the_whole_and_none_is_too_long_for_a_server(cells: list[Cell]) -> None:
    found = list(pieces(cells))
    assert list(itertools.chain(*found)) == sorted(cells)
    assert all(len(json.dumps(piece, ensure_ascii=False).encode()) < 128 * 1024 for piece in found)


def test_only_late_lines_have_cells_whatever_else_is_called_late() -> None:
    line = json.loads(Event("acme", "calls", START, "late", Decimal(1), False, 0, 0).line())
    line["properties"] = {"late": "1"}
    assert late_cells(json.dumps(line).encode()) == set()
    both = b"\n".join([json.dumps(line).encode(), json.dumps({**line, "late": 1}).encode()])
    assert late_cells(both) == {("acme", "calls", int(START.timestamp()))}
