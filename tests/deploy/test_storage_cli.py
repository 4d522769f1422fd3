"""``meterline storage``: through the real API, which measures a real folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from meterline_schemas.catalog import Aggregation, Metric
from meterline_sinks.migrate import migrate
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import asked, meterline
from tests.services.clickhouse import ClickHouseServer
from tests.services.kafka import create_topics
from tests.support import cluster
from tests.support.streams import wait_until


def test_what_tenants_store_is_measured_and_printed(
    kafka: str, prefix: str, database: str, clickhouse_server: ClickHouseServer, tmp_path: Path
) -> None:
    create_topics(kafka, prefix, 2)
    tables = clickhouse_server.settings(database)
    migrate(tables, cluster="")
    for tenant, size in (("acme", 1_234_567_890_123), ("globex", 7)):
        (tmp_path / "data" / tenant).mkdir(parents=True)
        with (tmp_path / "data" / tenant / "file").open("wb") as file:
            file.truncate(size)
    settings = {"STORAGE_URL": f"file://{tmp_path / 'data'}", "STORAGE_SCHEDULE": "0 3 29 2 *"}
    api = ApiProcess(kafka, prefix, tables, tmp_path, **settings)
    api.start()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        more = {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "80"}
        done = meterline("storage", "measure", *words, folder=tmp_path, more=more)
        assert "Traceback" not in done.stderr
        return done

    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert "the API refuses: metric 'storage' is not defined: define it" in done.stderr
    metric = Metric(key="storage", unit="GB", aggregation=Aggregation.TIME_WEIGHTED)
    producer = cluster.producer(kafka)
    producer.produce(prefix + "meterline.config", key=metric.record_key, value=metric.encode())
    assert producer.flush(30) == 0
    wait_until(lambda: api.client.get("/v1/metrics/storage").status_code == 200, 30, "the metric known")

    done = run("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()[:3]] == [
        ["tenant", "bytes", "GB"],
        ["acme", "1,234,567,890,123", "1,234.567890123"],
        ["globex", "7", "0.000000007"],
    ]
    assert done.stdout.splitlines()[3:] == ["2 tenants, 1,234,567,890,130 bytes, 0 failed; nothing was counted"]

    (tmp_path / "data" / "with\x1b[31m").mkdir()
    done = run("--format", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["measured"], found["failed"], found["dry_run"]) == (1, 2, 1, False)
    done = run()
    assert done.returncode == 1
    assert "counted as storage at 20" in done.stdout
    assert done.stderr.startswith("with [31m: ")
    assert "\x1b" not in done.stdout + done.stderr, "a tenant does not steer the terminal"
    assert api.stop() == 0
    done = run()
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)


def test_help_says_what_it_does() -> None:
    done = asked("storage", "measure", "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--dry-run", "METERLINE_STORAGE_URL", "Exit code"))
