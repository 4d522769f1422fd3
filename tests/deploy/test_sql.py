"""``meterline sql``: a statement to a real ClickHouse, its answer or one clear message."""

from __future__ import annotations

import pytest

from meterline_deploy.commands.sql import plain
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.deploy.running import asked, meterline
from tests.services.clickhouse import execute
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def environment(shared_clickhouse: ClickHouseSettings) -> dict[str, str]:
    """Of a database that holds one total."""
    return filled(shared_clickhouse)


def filled(clickhouse: ClickHouseSettings) -> dict[str, str]:
    migrate(clickhouse, cluster="")
    execute(
        clickhouse,
        f"INSERT INTO {clickhouse.database}.usage_totals (tenant_id, metric, hour, kafka_partition, version, count, "
        "sum, min, max, last, last_timestamp, last_id) VALUES ('acme', 'api_calls', '2026-11-21 05:00:00', 0, 1, 2, "
        "'12345678901234567890.000000001', 1, 2, 2, '2026-11-21 05:00:01.000', 'id')",
    )
    return {
        "METERLINE_CLICKHOUSE_URL": clickhouse.url,
        "METERLINE_CLICKHOUSE_USER": clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
        "METERLINE_CLICKHOUSE_ANALYST_USER": clickhouse.analyst_user,
        "METERLINE_CLICKHOUSE_ANALYST_PASSWORD": clickhouse.analyst_password.get_secret_value(),
    }


def test_an_answer_that_is_piped_is_tab_separated_and_exact(environment: dict[str, str]) -> None:
    done = meterline("sql", "SELECT tenant_id, sum FROM usage_hourly", more=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "acme\t12345678901234567890.000000001\n", "")


def test_any_format_can_be_asked_for_and_one_in_the_statement_wins(environment: dict[str, str]) -> None:
    done = meterline("sql", "--format", "CSVWithNames", "SELECT 1 AS one, 'a' AS two", more=environment)
    assert done.stdout == '"one","two"\n1,"a"\n'
    done = meterline("sql", "--format", "CSV", "SELECT 1 AS one FORMAT JSONEachRow", more=environment)
    assert done.stdout == '{"one":1}\n'


def test_a_statement_comes_from_standard_input(environment: dict[str, str]) -> None:
    done = meterline("sql", "-", more=environment, text="SELECT\n  'ü' -- a comment\n")
    assert (done.returncode, done.stdout) == (0, "ü\n")


def test_a_long_answer_is_complete(environment: dict[str, str]) -> None:
    done = meterline("sql", "SELECT number FROM numbers(300000)", more=environment)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 300_000
    assert done.stdout.endswith("299999\n")


def test_the_analyst_only_reads_and_is_told_of_admin(environment: dict[str, str]) -> None:
    done = meterline("sql", "TRUNCATE TABLE usage_totals", more=environment)
    assert done.returncode == 1
    assert "--admin asks as the owner" in done.stderr
    assert "Traceback" not in done.stderr
    assert meterline("sql", "SELECT count() FROM usage_hourly", more=environment).stdout == "1\n"


def test_the_owner_may_write(clickhouse: ClickHouseSettings) -> None:
    environment = filled(clickhouse)
    done = meterline("sql", "--admin", "TRUNCATE TABLE usage_totals", more=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert meterline("sql", "--admin", "SELECT count() FROM usage_totals", more=environment).stdout == "0\n"


def test_an_error_is_one_line_without_a_trace(environment: dict[str, str]) -> None:
    done = meterline("sql", "SELECT no_such_column FROM usage_hourly", more=environment)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("meterline: ")
    assert "no_such_column" in line
    assert "DB::Exception" not in line
    assert "version" not in line


def test_an_error_in_the_middle_of_an_answer_is_an_error(environment: dict[str, str]) -> None:
    statement = "SELECT throwIf(number = 2900000, 'far out') FROM numbers(3000000) SETTINGS max_block_size = 10000"
    done = meterline("sql", statement, more=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_wrong_password_is_said(environment: dict[str, str]) -> None:
    wrong = {**environment, "METERLINE_CLICKHOUSE_ANALYST_PASSWORD": "wrong"}
    done = meterline("sql", "SELECT 1", more=wrong)
    assert done.returncode == 1
    assert "METERLINE_CLICKHOUSE_ANALYST_USER and _ANALYST_PASSWORD" in done.stderr


def test_a_clickhouse_that_is_away_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = meterline("sql", "SELECT 1", more={"METERLINE_CLICKHOUSE_URL": url})
    assert done.returncode == 1
    assert f"ClickHouse at {url} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["  "], ["--format", "CSV; DROP", "SELECT 1"]], ids=["empty", "format"])
def test_wrong_options_exit_with_2(arguments: list[str]) -> None:
    assert asked("sql", *arguments).returncode == 2


def test_a_url_that_is_none_is_said() -> None:
    done = meterline("sql", "SELECT 1", more={"METERLINE_CLICKHOUSE_URL": "localhost:8123"})
    assert done.returncode == 1
    assert "METERLINE_CLICKHOUSE_URL is 'localhost:8123'; write it like" in done.stderr


def test_exceptions_are_told_without_what_only_clickhouse_needs() -> None:
    said = "Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 26.9.1.1 (official build))\n"
    assert plain(said) == "Table a.b does not exist. (UNKNOWN_TABLE)"
