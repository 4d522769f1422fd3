"""Usage over JDBC, as tools for reports ask for it, and from stock clients: the numbers of an independent count."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import clickhouse_connect
import pytest

from meterline_deploy.folders import cache_folder, make_folder
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import keeps_users, migrate
from meterline_sinks.tenant_analysts import TenantAnalysts
from tests.languages.test_producers import tool
from tests.sinks.conftest import Tables
from tests.sinks.usage import answers, checkpoints, events

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "examples" / "analysts"
DRIVER: Final = "0.9.6"
LINES: Final = events(5, 400)
MINE: Final = "tenant-4"

Rows = list[tuple[str, str, int, Decimal]]


class Login(NamedTuple):
    host: str
    port: int
    user: str
    password: str
    database: str
    expected: Rows


def recount(tenant: str | None) -> Rows:
    """Usage of calls by tenant and day."""
    return sorted(
        (key[0], key[2], answer[0], answer[1])
        for key, answer in answers(LINES, "day").items()
        if key[1] == "calls" and tenant in (None, key[0])
    )


@pytest.fixture(scope="module")
def filled(clickhouse_server: Any) -> Iterator[ClickHouseSettings]:
    clickhouse_server.restore()
    settings: ClickHouseSettings = clickhouse_server.settings("languages_of_analysts")
    migrate(settings, cluster="")
    tables = Tables(settings)
    written = checkpoints(LINES, 40)
    tables.insert("usage_events_raw", [line for checkpoint in written for line in checkpoint.accepted])
    tables.insert("usage_totals", [value for checkpoint in written for _, value in checkpoint.totals])
    yield settings
    tables.command(f"DROP DATABASE {settings.database}")
    tables.close()


@pytest.fixture(params=["the analyst", "a tenant's analyst"])
def login(filled: ClickHouseSettings, request: pytest.FixtureRequest) -> Iterator[Login]:
    host, _, port = filled.url.rpartition("/")[2].partition(":")
    if request.param == "the analyst":
        password = filled.analyst_password.get_secret_value()
        yield Login(host, int(port), filled.analyst_user, password, filled.database, recount(None))
        return
    edge = ClickHouse(filled)
    analysts = TenantAnalysts(edge, filled, "", keeps_users=keeps_users(edge))
    analyst, password = analysts.add(MINE)
    yield Login(host, int(port), analyst.name, password, analyst.database, recount(MINE))
    analysts.remove(analyst.name)
    edge.close()


def lines(command: list[str]) -> list[list[str]]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return [line.split("\t") for line in done.stdout.splitlines()]


def rows(found: list[list[str]]) -> Rows:
    return [(row[1], row[2], int(row[3]), Decimal(row[4])) for row in found if row[0] == "row"]


def driver() -> Path:
    """The jars of ClickHouse's own JDBC driver."""
    cache = make_folder(cache_folder())
    ready = cache / f"clickhouse-jdbc-{DRIVER}"
    if not ready.is_dir():
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext, PythonResolver

        with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as name:
            scratch = Path(name)
            context = MavenContext(resolver=PythonResolver(), repo_cache=scratch / "maven", local_repos=[], timeout=60)
            builder = EnvironmentBuilder(context, cache_dir=scratch / "environment", link_strategy=LinkStrategy.COPY)
            (scratch / "jars").mkdir()
            wanted = f"com.clickhouse:clickhouse-jdbc:{DRIVER}+org.slf4j:slf4j-nop:2.0.17"
            for jar in builder.from_endpoint(wanted).all_jars:
                shutil.move(jar, scratch / "jars" / jar.name)
            if not ready.is_dir():
                (scratch / "jars").rename(ready)
    return ready


def test_jdbc_shows_tables_and_columns_and_exact_sums(login: Login) -> None:
    url = f"jdbc:clickhouse://{login.host}:{login.port}/{login.database}?compress=false"
    program = [tool("java"), "-cp", f"{driver()}/*", str(PROGRAMS / "java" / "Usage.java")]
    found = lines([*program, url, login.user, login.password, "calls"])
    assert {"usage_events", "usage_hourly", "usage_daily", "usage_monthly"} <= {
        row[1] for row in found if row[0] == "table"
    }
    columns = {row[1]: row[2] for row in found if row[0] == "column"}
    assert (columns["day"], columns["sum"]) == ("Date", "Decimal(76, 9)")
    assert sorted(rows(found)) == login.expected
    last = {(key[0], key[2]): answer[5] for key, answer in answers(LINES, "day").items() if key[1] == "calls"}
    for row in found:
        if row[0] == "row":
            moment = last[row[1], row[2]]
            assert row[5].startswith(moment.strftime("%Y-%m-%dT%H:%M:%S")), row


def test_the_client_for_node_reads_exact_sums(login: Login, tmp_path: Path) -> None:
    node, npm = tool("node"), tool("npm")
    copy = shutil.copytree(PROGRAMS / "node", tmp_path / "node", ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=copy, env=dict(os.environ), check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    url = f"http://{login.host}:{login.port}"
    found = lines([node, str(copy / "usage.js"), url, login.user, login.password, login.database, "calls"])
    assert sorted(rows(found)) == login.expected


def test_the_client_for_python_reads_columns_for_pandas(login: Login) -> None:
    client = clickhouse_connect.get_client(
        host=login.host, port=login.port, username=login.user, password=login.password, database=login.database
    )
    try:
        answer = client.query(
            "SELECT tenant_id, toString(day), count, sum FROM usage_daily WHERE metric = {m:String}",
            parameters={"m": "calls"},
        )
        assert sorted(answer.result_rows) == login.expected
        table = client.query_arrow("SELECT tenant_id, count FROM usage_daily WHERE metric = 'calls'")
        assert table.num_rows == len(login.expected)
    finally:
        client.close()
