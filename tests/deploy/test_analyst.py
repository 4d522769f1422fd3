"""``meterline analyst``: users who read one tenant's usage, made, listed and removed."""

from __future__ import annotations

import httpx
import pytest

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.deploy.running import asked
from tests.services.clickhouse import execute


@pytest.fixture
def environment(clickhouse: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(clickhouse, cluster="")
    for tenant, amount in (("acme", 3), ("globex", 40)):
        execute(
            clickhouse,
            f"INSERT INTO {clickhouse.database}.usage_totals (tenant_id, metric, hour, kafka_partition, version, "
            "count, sum, min, max, last, last_timestamp, last_id) VALUES "
            f"('{tenant}', 'calls', '2026-11-21 05:00:00', 0, 1, 1, {amount}, 1, 2, 2, '2026-11-21 05:00:01', 'id')",
        )
    monkeypatch.setenv("METERLINE_CLICKHOUSE_URL", clickhouse.url)
    monkeypatch.setenv("METERLINE_CLICKHOUSE_USER", clickhouse.user)
    monkeypatch.setenv("METERLINE_CLICKHOUSE_PASSWORD", clickhouse.password.get_secret_value())
    monkeypatch.setenv("METERLINE_CLICKHOUSE_DATABASE", clickhouse.database)


@pytest.mark.usefixtures("environment")
def test_an_analyst_is_added_reads_one_tenant_is_listed_and_removed() -> None:
    empty = asked("analyst", "list")
    assert empty.stdout == "no tenant has an analyst yet: `meterline analyst add TENANT` makes one\n"
    added = asked("analyst", "add", "acme", "--name", "acme-people")
    assert (added.returncode, added.stderr) == (0, "")
    told = dict(line.split(": ", 1) for line in added.stdout.splitlines())
    assert told["user"] == "acme-people"
    auth = (told["user"], told["password"])
    answer = httpx.post(told["url"], content="SELECT tenant_id, sum FROM usage_daily", auth=auth)
    assert answer.text == "acme\t3\n"

    listed = asked("analyst", "list")
    assert listed.stdout == f"acme-people\tacme\t{told['database']}\n"
    assert told["password"] not in listed.stdout
    again = asked("analyst", "add", "globex", "--name", "acme-people")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("meterline: there is a user 'acme-people' already")

    removed = asked("analyst", "remove", "acme-people")
    assert removed.stdout == "removed acme-people, who read the usage of acme\n"
    assert httpx.post(told["url"], content="SELECT 1", auth=auth).status_code == 403
    unknown = asked("analyst", "remove", "acme-people")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "`meterline analyst list` shows all" in unknown.stderr


@pytest.mark.usefixtures("environment")
def test_a_database_that_was_never_set_up_is_named_in_one_sentence(
    clickhouse: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLINE_CLICKHOUSE_DATABASE", "never_made")
    done = asked("analyst", "add", "acme")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "meterline setup" in done.stderr
    taken = "SELECT count() FROM system.databases WHERE position(comment, 'never_made') > 0"
    assert execute(clickhouse, taken) == "0\n"
