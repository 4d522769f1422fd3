"""A tenant's own analyst: that tenant's rows by every name, and another's by none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from meterline_schemas.billing.cost import DayCost, DayCosts
from meterline_schemas.billing.cost import encode as encode_costs
from meterline_schemas.billing.invoice import LineKind
from meterline_schemas.billing.item import Item, ItemKind, Items, ItemState
from meterline_schemas.billing.item import encode as encode_items
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.billing.push import encode as encode_push
from meterline_schemas.catalog import Metric, Plan, PlanVersion, Quota, Span, Tenant, TenantPlan, Threshold
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.cost_rows import cost_row
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.item_rows import item_row
from meterline_sinks.job_rows import push_row
from meterline_sinks.migrate import keeps_users, migrate
from meterline_sinks.rows import catalog_row, notification_row
from meterline_sinks.tenant_analysts import Analyst, TenantAnalysts
from meterline_sinks.tenant_views import _VIEWS, CONDITIONS, Column, view
from tests.sinks.conftest import Tables
from tests.sinks.test_docs import ALERTS, FIRST
from tests.sinks.usage import answers, checkpoints, events, standing
from tests.support.invoices import START, invoice

LINES = events(77, 700)
MINE = "tenant-1"
SECRET = "tenant-2"  # nothing that speaks of it may come out
AWKWARD = "it's \\ a `te\nnant`"

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def filled(clickhouse_server: Any) -> Iterator[Tables]:
    clickhouse_server.restore()
    settings: ClickHouseSettings = clickhouse_server.settings("tenant_analysts")
    migrate(settings, cluster="")
    tables = Tables(settings)
    written = checkpoints(LINES, 40)
    tables.insert("usage_events_raw", [line for checkpoint in written for line in checkpoint.accepted])
    tables.insert("usage_totals", [value for checkpoint in written for _, value in checkpoint.totals])
    tables.insert("rejected_events", [line for checkpoint in written for line in checkpoint.rejected])
    for topic in ("accepted", "rejected", "totals"):
        tables.insert(
            "usage_progress", [b'{"topic": "usage.%s",%s' % (topic.encode(), c.progress[1:]) for c in written]
        )
    entries = [
        Metric(key="calls", name="Calls", unit="call"),
        Metric(key="secret", name="Only of tenant-2", unit="x", tenant_id=SECRET),
        Quota(metric="calls", included=Decimal(50)),
        Quota(metric="calls", tenant_id=MINE, included=Decimal(5)),
        Quota(metric="calls", tenant_id=SECRET, included=Decimal(7)),
        Threshold(id="other", metric="calls", tenant_id=SECRET, steps=(Decimal(50),), amount=Decimal(1)),
        Tenant(id=MINE, name="One"),
        Tenant(id=SECRET, name="Two"),
        *(Plan(id=f"plan-of-{one}", currency="EUR", versions=(PlanVersion(),)) for one in (MINE, SECRET)),
        *(
            TenantPlan(tenant_id=one, spans=(Span(start=datetime(2026, 11, 1, tzinfo=UTC), plan=f"plan-of-{one}"),))
            for one in (MINE, SECRET)
        ),
    ]
    for turn, entry in enumerate(entries):
        table, row = catalog_row(turn, entry.record_key, entry.encode()) or ("", b"")
        tables.insert(table, [row])
    for turn, one in enumerate((MINE, SECRET)):
        table, row = invoice_row(turn, *invoice(one, f"INV-{one}"))
        tables.insert(table, [row])
        tables.insert(*day_costs(turn, one))
        push = Push("cus_1", "mtr_1", START.date(), 1, 7, one, "calls", PushState.DELIVERED, START)
        table, row = push_row(turn, encode_push(push))
        tables.insert(table, [row])
        item = Item(ItemKind.ITEM, ItemState.DELIVERED, START, 1, 990, f"of {one}")
        items = Items(f"INV-{one}", one, "eur", START, (item,), "cus_1")
        table, row = item_row(turn, items.key, encode_items(items)) or ("", b"")
        tables.insert(table, [row])
    for turn, value in enumerate(ALERTS):
        table, row = notification_row(0, turn, value)
        tables.insert(table, [row])
    yield tables
    tables.command(f"DROP DATABASE {settings.database}")
    tables.close()


def day_costs(offset: int, tenant_id: str) -> tuple[str, list[bytes]]:
    line = DayCost(LineKind.BASE_FEE, f"plan-of-{tenant_id}", "EUR", START, START, Decimal("0.33"))
    table, row = cost_row(offset, encode_costs(DayCosts(tenant_id, START.date(), (line,), START)))
    return table, [row]


@pytest.fixture(scope="module")
def analysts(filled: Tables) -> Iterator[TenantAnalysts]:
    edge = ClickHouse(filled.settings)
    made = TenantAnalysts(edge, filled.settings, "", keeps_users=keeps_users(edge))
    yield made
    for analyst in made.all():
        made.remove(analyst.name)
    edge.close()


@pytest.fixture(scope="module")
def mine(analysts: TenantAnalysts) -> tuple[Analyst, str]:
    analysts.add(SECRET, "the-other")
    return analysts.add(MINE)


@pytest.fixture(scope="module")
def theirs(filled: Tables, mine: tuple[Analyst, str]) -> Iterator[Tables]:
    """What the tenant's analyst reads."""
    analyst, password = mine
    login = filled.settings.model_dump() | {"user": analyst.name, "password": password, "database": analyst.database}
    made = Tables(ClickHouseSettings.model_validate(login))
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(filled: Tables, mine: tuple[Analyst, str]) -> Iterator[Ask]:
    analyst, password = mine
    with httpx.Client(timeout=60, auth=(analyst.name, password)) as client:

        def send(text: str, **arguments: str) -> httpx.Response:
            return client.post(filled.settings.url, content=text, params=arguments)

        yield send


def test_each_view_holds_the_rows_of_the_tenant_and_no_others(filled: Tables, theirs: Tables) -> None:
    database = filled.settings.database
    for table, condition in CONDITIONS.items():
        condition = condition.replace("{source}", database).replace("{tenant}", f"'{MINE}'")
        columns = ", ".join(
            f"t.`{name}`"
            for (name,) in filled.rows(
                f"SELECT name FROM system.columns WHERE database = '{theirs.settings.database}' AND table = '{table}'"
                " ORDER BY position"
            )
        )
        is_view = table in _VIEWS or table.startswith("usage_")
        final = "" if is_view else "FINAL"
        expected = filled.rows(f"SELECT {columns} FROM {database}.{table} AS t {final} WHERE {condition} ORDER BY ALL")
        found = theirs.rows(f"SELECT * FROM {table} ORDER BY ALL")
        if table == "usage_events":
            assert len(found) == sum(event.tenant_id == MINE for event in standing(LINES))
        assert found == expected
        assert found or table == "thresholds"
        assert SECRET not in repr(found), table


def test_the_numbers_are_those_of_an_independent_count(theirs: Tables) -> None:
    expected = {key[1:]: (answer[0], answer[1]) for key, answer in answers(LINES, "day").items() if key[0] == MINE}
    rows = theirs.rows("SELECT metric, toString(day), count, sum FROM usage_daily")
    assert {row[:2]: row[2:] for row in rows} == expected


def test_every_view_of_the_analysts_has_a_tenants_one_or_is_left_out_on_purpose(filled: Tables) -> None:
    assert set(CONDITIONS) == set(FIRST) - {"billing_runs"}, "which are of no tenant"


TIME = {"usage_events": "timestamp", "usage_hourly": "hour", "rejected_events": "received_at"}
DB = "tenant_analysts"
OTHER = "meterline_analyst_1"  # of the tenant that came first
READS: list[str] = [
    # by another name of the table
    f"SELECT * FROM {DB}.usage_events",
    f"SELECT * FROM {DB}.usage_events_raw",
    f"SELECT * FROM `{DB}`.`usage_totals` FINAL",
    f"SELECT * FROM {DB}.metrics_raw",
    f"SELECT * FROM {OTHER}.usage_events",
    f"SELECT count() FROM {OTHER}.usage_daily",
    f"SELECT (SELECT count() FROM {DB}.usage_events)",
    f"SELECT * FROM usage_events WHERE id IN (SELECT id FROM {DB}.usage_events)",
    f"SELECT * FROM usage_events WHERE id IN {DB}.usage_events",
    f"WITH x AS (SELECT * FROM {DB}.usage_events) SELECT * FROM x",
    f"SELECT * FROM usage_events UNION ALL SELECT * FROM {OTHER}.usage_events",
    f"SELECT * FROM usage_events JOIN {DB}.usage_totals USING (tenant_id)",
    f"DESCRIBE TABLE {DB}.usage_events",
    f"SHOW CREATE TABLE {DB}.usage_events_raw",
    f"SHOW CREATE VIEW {OTHER}.usage_events",
    f"EXPLAIN ESTIMATE SELECT * FROM {DB}.usage_events_raw",
    f"EXPLAIN PLAN SELECT * FROM {OTHER}.usage_events",
    "SELECT * FROM meterline_front.users",
    "SELECT * FROM default.usage_events",
    # by a function
    f"SELECT * FROM merge('{DB}', '.*')",
    "SELECT * FROM merge(REGEXP('.*'), 'usage_events')",
    "SELECT * FROM merge('system', 'processes')",
    f"SELECT * FROM loop('{DB}', 'usage_events_raw')",
    f"SELECT * FROM loop({DB}.usage_events_raw) LIMIT 1",
    f"SELECT * FROM remote('127.0.0.1', {DB}.usage_events_raw)",
    f"SELECT * FROM remoteSecure('127.0.0.1', '{DB}', 'usage_events_raw')",
    f"SELECT * FROM cluster('default', {DB}.usage_events_raw)",
    f"SELECT * FROM clusterAllReplicas('default', {DB}, usage_events_raw)",
    f"SELECT * FROM view(SELECT * FROM {DB}.usage_events_raw)",
    f"SELECT * FROM viewIfPermitted(SELECT * FROM {DB}.usage_events_raw ELSE null('a String'))",
    f"SELECT * FROM mergeTreeIndex('{DB}', 'usage_events_raw')",
    f"SELECT * FROM mergeTreeAnalyzeIndexes('{DB}', 'usage_events_raw')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/x.csv')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM python('server')",
    f"SELECT joinGet('{DB}.usage_totals', 'sum', 'x')",
    f"SELECT dictGet('{DB}.tenants', 'name', 'x')",
    # by what the server tells about itself
    "SELECT query FROM system.processes",
    "SELECT query FROM `system`.`processes`",
    'SELECT query FROM "sys\\x74em".processes',
    "SELECT query FROM system /* sly */ . processes",
    "SHOW PROCESSLIST",
    "SELECT * FROM system.errors",
    "SELECT * FROM system.parts",
    "SELECT * FROM system.query_log",
    "SELECT * FROM system.query_cache",
    "SELECT * FROM system.session_query_ids",
    "SELECT * FROM system.users",
    "SELECT * FROM system.grants",
    "SELECT * FROM system.server_settings",
    "SELECT * FROM system.stack_trace",
    "SELECT * FROM information_schema.tables",
    "SELECT 1 IN system.processes",
    "EXISTS TABLE system.processes",
    # by becoming somebody else, or another setting
    "SET ROLE owner",
    "SET ROLE ALL",
    "SET DEFAULT ROLE owner TO default",
    "EXECUTE AS default SELECT 1",
    "SET readonly = 0",
    "USE system",
    f"USE {DB}",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM usage_events SETTINGS additional_table_filters = {'tenant_analysts.usage_events_raw': 'throwIf(1)'}",
    "SELECT * FROM usage_events SETTINGS additional_result_filter = '1'",
    "SELECT * FROM usage_events SETTINGS max_execution_time = 0",
    "SELECT 1; SELECT 2",
    # by writing
    f"INSERT INTO usage_events SELECT * FROM {DB}.usage_events",
    "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'CSV') SELECT * FROM usage_events",
    f"CREATE VIEW mine AS SELECT * FROM {DB}.usage_events_raw",
    f"CREATE OR REPLACE VIEW usage_events AS SELECT * FROM {DB}.usage_events_raw",
    f"CREATE TEMPORARY TABLE mine AS SELECT * FROM {DB}.usage_events_raw",
    f"CREATE TABLE mine ENGINE = Merge('{DB}', '.*')",
    "ALTER TABLE usage_events MODIFY QUERY SELECT 1",
    "DROP VIEW usage_events",
    f"DROP DATABASE {OTHER}",
    "GRANT ALL ON *.* TO analyst_tenant-1",
    "CREATE ROW POLICY p ON *.* USING 1 TO ALL",
    "KILL QUERY WHERE 1",
    "SYSTEM FLUSH LOGS",
    f"BACKUP DATABASE {DB} TO Disk('default', 'x')",
    "SELECT * FROM usage_events INTO OUTFILE '/tmp/tenant-was-here'",
]  # fmt: skip


# a server with users of its own answers these with what is the asker's
OWN_ANSWERS = ("merge(REGEXP", "viewIfPermitted", "processes", "PROCESSLIST", "information_schema", "SET ROLE ALL")


@pytest.mark.parametrize("statement", READS)
def test_no_statement_reaches_what_is_not_the_tenants(ask: Ask, clickhouse: ClickHouseSettings, statement: str) -> None:
    answer = ask(statement)
    if not (any(part in statement for part in OWN_ANSWERS) and keeps_users(ClickHouse(clickhouse))):
        assert answer.status_code >= 400, answer.text[:300]
    assert SECRET not in answer.text.replace(statement, "")


@pytest.mark.parametrize(
    "name", [*("readonly", "profile", "additional_table_filters", "database_atomic"), "max_threads"]
)
def test_no_setting_in_the_url_is_taken_that_could_open_or_loosen(ask: Ask, name: str) -> None:
    assert ask("SELECT 1", **{name: "0"}).status_code >= 400


def test_another_database_cannot_be_chosen_for_a_request(ask: Ask, mine: tuple[Analyst, str]) -> None:
    for database in (DB, OTHER, "system", "information_schema", "meterline_front"):
        assert ask("SELECT count() FROM usage_events", database=database).status_code >= 400
    for chosen in ({}, {"database": mine[0].database}):
        assert ask("SELECT currentDatabase()", **chosen).text == f"{mine[0].database}\n"


def test_names_of_others_do_not_show(ask: Ask, mine: tuple[Analyst, str]) -> None:
    for statement in (
        "SHOW DATABASES",
        "SELECT name, comment FROM system.databases",
        "SELECT database, name, create_table_query, total_rows FROM system.tables WHERE database != 'system'",
        "SELECT database, table, name FROM system.columns WHERE database != 'system'",
    ):
        answer = ask(statement)
        assert answer.status_code == 200, answer.text
        databases = {line.split("\t")[0] for line in answer.text.splitlines()}
        assert databases <= {mine[0].database, "system", "INFORMATION_SCHEMA", "information_schema", "default"}
        assert SECRET not in answer.text


@pytest.mark.parametrize(
    "condition",
    [
        "throwIf(tenant_id = 'tenant-2') = 0",
        "throwIf(metric = 'storage' AND tenant_id != 'tenant-1') = 0",
        "throwIf(timestamp > '2000-01-01 00:00:00' AND tenant_id = 'tenant-2') = 0",
        "toUInt64(replaceOne(tenant_id, 'tenant-1', '5')) = 5",
        "intDiv(1, tenant_id = 'tenant-1') = 1",
        "tenant_id = 'tenant-2' AND throwIf(1) = 0",
    ],
)
def test_no_condition_is_evaluated_on_rows_of_others(theirs: Tables, condition: str) -> None:
    # an error that a condition raises on a row would tell of it
    for table in ("usage_events", "usage_hourly", "rejected_events"):
        if table != "rejected_events" or ("metric" not in condition and "timestamp" not in condition):
            theirs.rows(f"SELECT count() FROM {table} WHERE {condition.replace('timestamp', TIME[table])}")


def test_a_condition_stands_above_the_barrier_in_the_plan(ask: Ask) -> None:
    for table, column in (("usage_events", "id"), ("usage_daily", "metric"), ("rejected_events", "reason")):
        plan = ask(f"EXPLAIN SELECT count() FROM {table} WHERE throwIf({column} = 'x') = 0").text
        assert plan.index("Filter") < plan.index("LIMIT"), plan
        below = ask(f"EXPLAIN actions = 1 SELECT count() FROM {table} WHERE throwIf({column} = 'x') = 0").text
        assert "throwIf" not in below[below.rindex("LIMIT") :], below


def test_the_names_of_tenants_are_text_and_no_sql(filled: Tables, analysts: TenantAnalysts) -> None:
    analyst, password = analysts.add(AWKWARD, "awkward")
    assert analyst in analysts.all()
    login = filled.settings.model_dump() | {"user": "awkward", "password": password, "database": analyst.database}
    edge = Tables(ClickHouseSettings.model_validate(login))
    assert edge.rows("SELECT count() FROM usage_events") == [(0,)]
    edge.close()
    made = view(
        "usage_daily", [Column("tenant_id", "String", "it's")], "c", {"source": "a", "target": "b", "on_cluster": ""},
        "x' OR 1 = 1 --",
    )  # fmt: skip
    assert "WHERE t.tenant_id = 'x\\' OR 1 = 1 --' LIMIT" in made


def test_an_analyst_who_is_removed_is_shut_out_at_once_and_the_views_go(
    filled: Tables, analysts: TenantAnalysts
) -> None:
    first, password = analysts.add("tenant-3", "three")
    second, _ = analysts.add("tenant-3", "three-again")
    assert first.database == second.database
    request = {"auth": ("three", password), "content": "SELECT count() FROM usage_events"}
    assert httpx.post(filled.settings.url, **request).status_code == 200  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="there is a user 'three' already"):
        analysts.add("tenant-4", "three")
    analysts.remove("three")
    refused = httpx.post(filled.settings.url, **request)  # type: ignore[arg-type]
    assert refused.headers["X-ClickHouse-Exception-Code"] in ("516", "192")
    analysts.remove("three-again")
    assert filled.rows(f"SELECT count() FROM system.databases WHERE name = '{first.database}'") == [(0,)]
    with pytest.raises(ConfigurationError, match="there is no tenant's analyst 'three'"):
        analysts.remove("three")


@pytest.mark.parametrize("name", ["analyst", "default", "a b", "a:b", "`x`", "x" * 65])
def test_a_name_that_is_taken_or_none_is_refused(analysts: TenantAnalysts, name: str) -> None:
    with pytest.raises(ConfigurationError):
        analysts.add(MINE, name)


def test_migrating_makes_the_views_anew(filled: Tables, theirs: Tables) -> None:
    before = theirs.rows("SELECT * FROM usage_daily ORDER BY ALL")
    filled.command(f"CREATE OR REPLACE VIEW {theirs.settings.database}.usage_daily AS SELECT 1 AS old")
    migrate(filled.settings, cluster="")
    assert theirs.rows("SELECT * FROM usage_daily ORDER BY ALL") == before


def test_the_wrong_password_and_the_password_of_another_are_refused(filled: Tables, mine: tuple[Analyst, str]) -> None:
    for auth in ((mine[0].name, "wrong"), ("the-other", mine[1]), (mine[0].name, "")):
        assert httpx.post(filled.settings.url, content="SELECT 1", auth=auth).status_code in (401, 403)


def test_answers_come_in_the_formats_of_tools(ask: Ask) -> None:
    answer = ask("SELECT count() AS events FROM usage_events FORMAT JSON", max_result_rows="1000")
    rows = json.loads(answer.text)["data"]
    assert int(rows[0]["events"]) == sum(event.tenant_id == MINE for event in standing(LINES))
    assert ask("SELECT * FROM usage_events FORMAT Parquet").content.startswith(b"PAR1")
