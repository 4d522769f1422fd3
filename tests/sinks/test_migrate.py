"""Making the tables: forward only, refusing what changed, safe when two run at once."""

from __future__ import annotations

import os
import subprocess
from threading import Barrier, Thread

import pytest

from meterline_schemas.errors import UnavailableError
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse, CommandError, RefusedError
from meterline_sinks.errors import ChangedMigrationError, NewerDatabaseError
from meterline_sinks.migrate import Migration, keeps_users, migrate, pending, shipped
from tests.sinks.conftest import Tables
from tests.sinks.usage import events, reject
from tests.support.processes import run

NAMES = [migration.name for migration in shipped()]


def test_everything_is_applied_once_and_recorded(clickhouse: ClickHouseSettings) -> None:
    assert migrate(clickhouse, cluster="") == NAMES
    assert migrate(clickhouse, cluster="") == []
    rows = ClickHouse(clickhouse, clickhouse.database).rows(
        "SELECT number, name, toString(checksum), applied_at > now64(3) - 600 FROM schema_migrations ORDER BY number"
    )
    assert [tuple(row) for row in rows] == [(m.number, m.name, m.checksum, 1) for m in shipped()]


def test_a_file_that_changed_after_it_was_applied_is_refused(tables: Tables) -> None:
    tables.insert(
        "schema_migrations", [b'{"number": 3, "name": "0003_usage_totals.sql", "checksum": "%s"}' % (b"0" * 64)]
    )
    with pytest.raises(ChangedMigrationError, match=r"0003_usage_totals\.sql was applied .* another content"):
        migrate(tables.settings, cluster="")


def test_a_database_of_a_newer_version_is_refused(tables: Tables) -> None:
    tables.insert("schema_migrations", [b'{"number": 9000, "name": "9000_later.sql", "checksum": "%s"}' % (b"0" * 64)])
    with pytest.raises(NewerDatabaseError, match=r"9000_later\.sql"):
        migrate(tables.settings, cluster="")


def test_a_run_that_was_cut_off_is_finished_by_the_next(tables: Tables) -> None:
    tables.command("ALTER TABLE schema_migrations DELETE WHERE number >= 5 SETTINGS mutations_sync = 2")
    for view in ("usage_freshness", "metrics"):
        tables.command(f"DROP VIEW {view}")
    assert migrate(tables.settings, cluster="") == NAMES[5:]
    assert tables.rows("SELECT * FROM usage_freshness") == []
    assert tables.rows("SELECT * FROM metrics") == []


def test_what_is_left_to_apply_comes_in_the_order_of_numbers() -> None:
    known = [Migration(number, f"{number:04}_x.sql", "") for number in (0, 1, 2, 3)]
    applied = {migration.number: (migration.name, migration.checksum) for migration in known[:2]}
    assert pending(known, applied) == known[2:]
    assert pending(known, {}) == known


def test_runs_at_the_same_time_do_no_harm(clickhouse: ClickHouseSettings) -> None:
    together = Barrier(4)
    failures: list[BaseException] = []

    def run() -> None:
        together.wait()
        try:
            migrate(clickhouse, cluster="")
        except BaseException as failure:
            failures.append(failure)

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert migrate(clickhouse, cluster="") == []


def test_the_command_tells_what_it_did(clickhouse: ClickHouseSettings) -> None:
    first, second = command(clickhouse), command(clickhouse)
    assert first.stdout.splitlines() == [f"applied {name}" for name in NAMES]
    assert second.stdout == f"nothing to do: {clickhouse.database} is up to date\n"
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_server_that_is_not_there_is_named_in_one_sentence(clickhouse: ClickHouseSettings) -> None:
    away = clickhouse.model_copy(update={"url": "http://127.0.0.1:9"})
    with pytest.raises(UnavailableError, match="does not take what is sent; is it running"):
        migrate(away, cluster="")
    done = command(away)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "METERLINE_CLICKHOUSE_URL" in done.stderr


def test_a_URL_that_is_none_is_named_in_one_sentence(clickhouse: ClickHouseSettings) -> None:
    done = command(clickhouse.model_copy(update={"url": "127.0.0.1:8123"}))
    assert done.returncode == 1
    assert "write it like http://127.0.0.1:8123" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_analyst_is_left_to_a_server_that_keeps_no_users(tables: Tables) -> None:
    # where the server keeps users this makes one; where it does not it is no error
    settings = tables.settings.model_copy(update={"analyst_user": f"a_{tables.settings.database}"})
    edge = ClickHouse(settings)
    migrate(settings, cluster="")
    if keeps_users(edge):
        assert edge.rows(f"SHOW GRANTS FOR `{settings.analyst_user}`")


def test_the_analyst_reads_the_views_without_repeats_and_changes_nothing(tables: Tables) -> None:
    settings = tables.settings
    migrate(settings, cluster="")  # makes the user where the server keeps users
    for _ in range(2):
        tables.insert("rejected_events", [reject(events(1, 1)[0])])
    analyst = ClickHouse(
        settings.model_copy(update={"user": settings.analyst_user, "password": settings.analyst_password}),
        settings.database,
    )
    for view in (
        "usage_events",
        "usage_hourly",
        "usage_daily",
        "usage_monthly",
        "usage_freshness",
        "metrics",
        "quotas",
        "tenants",
        "plans",
        "tenant_plans",
    ):
        assert analyst.rows(f"SELECT count() FROM {view}") is not None
    assert analyst.rows("SELECT count() FROM rejected_events")[0][0] == 1
    for forbidden in (
        "DROP VIEW usage_events",
        "TRUNCATE TABLE rejected_events",
        "CREATE TABLE mine (a Int8) ENGINE = Memory",
        "ALTER TABLE rejected_events DELETE WHERE 1",
    ):
        with pytest.raises(CommandError):
            analyst.command(forbidden)
    with pytest.raises((RefusedError, UnavailableError)):
        analyst.insert("rejected_events", reject(events(1, 1)[0]))
    analyst.close()
    assert tables.rows("SELECT count() FROM rejected_events FINAL") == [(1,)]


def command(settings: ClickHouseSettings) -> subprocess.CompletedProcess[str]:
    return run(
        "meterline_sinks.migrate",
        environment={
            **os.environ,
            "METERLINE_CLICKHOUSE_URL": settings.url,
            "METERLINE_CLICKHOUSE_USER": settings.user,
            "METERLINE_CLICKHOUSE_PASSWORD": settings.password.get_secret_value(),
            "METERLINE_CLICKHOUSE_DATABASE": settings.database,
        },
    )
