"""The tables and views as they stand in the database."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import pytest

from meterline_schemas.event import AcceptedEvent
from meterline_schemas.progress import Progress
from meterline_schemas.reject import Reject
from meterline_schemas.total import Total
from meterline_sinks.migrate import placeholders, shipped, statements
from tests.sinks.conftest import Tables
from tests.sinks.usage import events, total

KEYS = {
    "usage_events_raw": ("precedence", "toYYYYMM(timestamp)", "tenant_id, metric, timestamp, id"),
    "usage_totals": ("version", "toYYYYMM(hour)", "tenant_id, metric, hour, kafka_partition"),
    "usage_late_totals": ("count", "toYYYYMM(hour)", "tenant_id, metric, hour"),
    "rejected_events": (None, "", "kafka_topic, kafka_partition, kafka_offset, kafka_line"),
    "usage_progress": ("next_offset", "", "topic, kafka_partition"),
    "notifications": ("precedence", "toYYYYMM(occurred_at)", "id"),
    "metrics_raw": ("kafka_offset", "", "key, deleted"),
    "quotas": ("kafka_offset, is_deleted", "", "tenant_id, metric, subject"),
    "thresholds": ("kafka_offset, is_deleted", "", "id"),
    "tenants": ("kafka_offset, is_deleted", "", "id"),
    "plans_raw": ("kafka_offset, is_deleted", "", "id"),
    "tenant_plans_raw": ("kafka_offset, is_deleted", "", "tenant_id"),
    "invoices_raw": ("kafka_offset", "", "tenant_id, period_start, number"),
    "invoice_payments": ("kafka_offset", "", "number"),
    "payments": ("kafka_offset", "", "created_at, reference"),
    "daily_costs_raw": ("kafka_offset", "toYYYYMM(day)", "tenant_id, day"),
    "stripe_pushes_raw": ("kafka_offset", "toYYYYMM(day)", "tenant_id, metric, day, customer, meter"),
    "stripe_items_raw": ("kafka_offset", "", "tenant_id, number"),
    "billing_runs_raw": ("kafka_offset", "", "job, due"),
    "audit_log": (None, "", "seq, kafka_offset"),
    "schema_migrations": (None, "", "number"),
}
VIEWS = {"usage_events", "usage_parts", "usage_hourly", "usage_daily", "usage_monthly", "usage_freshness", "metrics"}
VIEWS |= {
    "plans",
    "tenant_plans",
    "invoices",
    "invoice_lines",
    "daily_costs",
    "stripe_pushes",
    "stripe_items",
    "billing_runs",
    "usage_days",
}
# tables that show repeats without FINAL, which the profile of the analyst turns on
GRANTED_TABLES = {"rejected_events", "notifications", "quotas", "thresholds", "tenants"}
# an id is told once, at whatever time: FINAL has to compare months
ACROSS_PARTITIONS = {"notifications"}


def test_tables_replace_rows_and_are_keyed_and_partitioned_as_their_readers_need(tables: Tables) -> None:
    rows = tables.rows(
        "SELECT name, engine, engine_full, partition_key, sorting_key FROM system.tables "
        f"WHERE database = '{tables.settings.database}' AND engine != 'View'"
    )
    assert {row[0] for row in rows} == set(KEYS)
    for name, engine, full, partition_key, sorting_key in rows:
        version, partition, order = KEYS[name]
        assert engine == "ReplacingMergeTree"
        assert re.match(rf"ReplacingMergeTree\({version}\)" if version else r"ReplacingMergeTree [^(]", full)
        assert (partition_key, sorting_key) == (partition, order)


def test_a_partition_follows_from_the_key_so_that_FINAL_sees_all_rows_of_one_key(tables: Tables) -> None:
    for name, (_version, partition, order) in KEYS.items():
        columns = re.findall(r"\((\w+)\)", partition)
        assert (set(columns) <= set(order.split(", "))) == (name not in ACROSS_PARTITIONS), name


def test_every_table_view_and_column_says_what_it_is(tables: Tables) -> None:
    database = tables.settings.database
    objects = tables.rows(f"SELECT name, comment FROM system.tables WHERE database = '{database}'")
    assert {name for name, _ in objects} == set(KEYS) | VIEWS
    columns = tables.rows(f"SELECT table, name, comment FROM system.columns WHERE database = '{database}'")
    assert {table for table, _, _ in columns} == set(KEYS) | VIEWS
    silent = [row for row in (*objects, *columns) if len(row[-1]) < 6]
    assert silent == []


@pytest.mark.parametrize(
    ("table", "struct", "added"),
    [
        ("usage_events_raw", AcceptedEvent, {"inserted_at", "on_time", "precedence"}),
        ("rejected_events", Reject, {"inserted_at"}),
        ("usage_totals", Total, {"inserted_at"}),
        ("usage_progress", Progress, {"inserted_at", "topic"}),
    ],
)
def test_the_fields_of_a_record_are_the_columns_of_its_table(
    tables: Tables, table: str, struct: type, added: set[str]
) -> None:
    rows = tables.rows(
        f"SELECT name FROM system.columns WHERE database = '{tables.settings.database}' AND table = '{table}'"
    )
    assert {row[0] for row in rows} == set(struct.__struct_fields__) | added  # type: ignore[attr-defined]


def test_quantities_and_times_have_the_types_that_keep_them_exact(tables: Tables) -> None:
    rows = tables.rows(f"SELECT table, name, type FROM system.columns WHERE database = '{tables.settings.database}'")
    types = {(table, name): kind for table, name, kind in rows}
    for (table, name), kind in types.items():
        if name in ("timestamp", "received_at", "inserted_at", "last_timestamp", "latest_timestamp"):
            assert kind == "DateTime64(3, 'UTC')", (table, name)
        if name in ("quantity", "min", "max", "last"):
            kinds = {"Decimal(38, 9)"} | ({"Nullable(Decimal(38, 9))"} if table == "invoice_lines" else set())
            assert kind in kinds, (table, name)
        if name == "sum":
            assert kind == "Decimal(76, 9)", (table, name)
    assert types["usage_events_raw", "properties"] == "Map(LowCardinality(String), String)"


def test_a_question_of_one_tenant_reads_only_its_own_rows(tables: Tables) -> None:
    line = events(1, 1)[0]
    tables.insert("usage_events_raw", [replace(line, late=True).line()])
    tables.insert("usage_totals", [total([line], 1)])
    plan = "\n".join(
        row[0]
        for row in tables.rows(
            "EXPLAIN indexes = 1 SELECT * FROM usage_hourly WHERE tenant_id = 'a' AND hour >= '2026-10-01 00:00:00'"
        )
    )
    # the condition on the tenant and the time reaches both tables below the view
    assert plan.count("tenant_id in ['a', 'a']") == 2
    assert "usage_events_raw" not in plan


def sql_files() -> list[str]:
    folder = files("meterline_sinks").joinpath("sql")
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))


@pytest.mark.parametrize("name", sql_files())
@pytest.mark.parametrize("cluster", ["", "main-{shard}"])
def test_each_statement_is_one_that_ClickHouse_parses(tables: Tables, name: str, cluster: str) -> None:
    text = files("meterline_sinks").joinpath("sql", name).read_text()
    for statement in statements(text, placeholders(tables.settings, cluster)):
        quoted = statement.replace("\\", "\\\\").replace("'", "\\'")
        ((parsed,),) = tables.rows(f"SELECT formatQuerySingleLine('{quoted}')")
        # rows reach the replicas by themselves
        assert ("ON CLUSTER" in parsed) == (bool(cluster) and not parsed.startswith("INSERT INTO"))
        if "MergeTree" in parsed:
            assert ("ReplicatedReplacingMergeTree" in parsed) == bool(cluster)


@pytest.mark.parametrize("name", sql_files())
def test_each_statement_may_run_twice(tables: Tables, name: str) -> None:
    text = files("meterline_sinks").joinpath("sql", name).read_text()
    for statement in statements(text, placeholders(tables.settings, "")):
        bare = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
        assert re.match(
            r"CREATE .*?(IF NOT EXISTS|OR REPLACE)|CREATE OR REPLACE|ALTER (USER|SETTINGS PROFILE)|GRANT"
            r"|ALTER TABLE \S+\s+(ADD INDEX IF NOT EXISTS|MATERIALIZE INDEX|ADD COLUMN IF NOT EXISTS|COMMENT COLUMN)"
            r"|INSERT INTO \S+\.usage_late_totals\s",  # its rows replace themselves
            bare,
        )


def test_migrations_are_numbered_without_gaps_or_repeats() -> None:
    assert [migration.number for migration in shipped()] == list(range(len(shipped())))


def test_the_analyst_is_granted_views_and_no_table_that_shows_repeats_or_secrets() -> None:
    text = files("meterline_sinks").joinpath("sql", "analyst.sql").read_text()
    granted = set(re.findall(r"SELECT ON \$\{database\}\.(\w+)", text))
    assert granted == (VIEWS - {"usage_parts"}) | GRANTED_TABLES
    assert "final = 1" in text
