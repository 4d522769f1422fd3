"""The command line: help with examples, exit codes, and one sentence instead of a trace."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import typer.main
from confluent_kafka import Consumer, TopicPartition

from meterline_deploy import run
from meterline_deploy.catalog import apply_metrics, read_metrics
from meterline_deploy.cli import COMMANDS, build
from meterline_deploy.commands.env import exports
from meterline_deploy.errors import NotRunningError, PortsTakenError
from meterline_deploy.plan import Options, check_ports
from meterline_deploy.run import RunInfo
from meterline_deploy.topics import ensure_topics
from meterline_schemas.catalog import Metric
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_schemas.topics import EVENTS, STREAM_GROUP
from meterline_sinks.clickhouse import ClickHouse
from tests.deploy.running import asked, meterline
from tests.support import cluster


def leaves() -> list[tuple[str, ...]]:
    """Every command that does something."""
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_group(build()).commands.items():
        below = getattr(command, "commands", None)
        found += [(name, each) for each in below] if below else [(name,)]
    return found


def info(**more: object) -> RunInfo:
    fields = {
        "pid": 1,
        "started": 0.0,
        "kafka": "127.0.0.1:1",
        "clickhouse_url": "http://127.0.0.1:2",
        "clickhouse_user": "default",
        "clickhouse_password": 'it\'s "secret" $HOME',
        "analyst_user": "analyst",
        "analyst_password": "p",
        "api_url": "http://127.0.0.1:3",
        "api_key": "k",
    }
    return msgspec.convert({**fields, **more}, RunInfo)


def test_every_command_is_there() -> None:
    assert {name for name, *_ in leaves()} == set(COMMANDS)


@pytest.mark.parametrize("command", leaves(), ids=" ".join)
def test_help_gives_examples_that_the_command_line_understands(command: tuple[str, ...]) -> None:
    done = asked(*command, "--help")
    assert done.returncode == 0
    assert "Examples" in done.stdout
    called = re.findall(r"\bmeterline ([a-z]+(?: [a-z]+)?)", done.stdout.split("Examples", 1)[1])
    assert any(words.startswith(" ".join(command)) for words in called), done.stdout


@pytest.mark.parametrize("command", leaves(), ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_name_off(command: tuple[str, ...]) -> None:
    said = asked(*command, "--help", columns=80).stdout
    assert max(map(len, said.splitlines())) <= 80
    assert not re.search("[A-Za-z]…", said)


def test_help_answers_without_loading_what_commands_need() -> None:
    code = (
        "import sys; from meterline_deploy.cli import build; build();"
        "print({'confluent_kafka', 'clickhouse_connect', 'faust', 'fastapi', 'chdb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["up", "--kafka-port", "http"],
        ["up", "--kafka-port", "0"],
        ["up", "--partitions", "0"],
        ["up", "--clickhouse", "localhost:8123"],
        ["up", "extra"],
        ["metrics", "apply"],
        ["metrics", "apply", "/no/such/file.yaml"],
        ["metrics", "list", "--format", "xml"],
        ["catalog", "apply", "--defaults", "none"],
        ["catalog", "list", "--kind", "tariff"],
        ["catalog", "delete", "metrics", "a"],
        ["catalog", "delete", "metric"],
        ["setup", "--partitions", "many"],
        ["notifications", "list", "--type", "exceeded"],
        ["keys", "create", "--role", "owner", "--tenant", "acme"],
        ["keys", "create", "--role", "viewer"],
        ["notifications", "list", "--from", "yesterday"],
        ["env", "--no-such-option"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_and_exits_with_2(arguments: list[str]) -> None:
    done = asked(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["env"],
        ["metrics", "list"],
        ["catalog", "list"],
        ["replay"],
        ["setup"],
        ["doctor"],
        ["notifications", "list"],
        ["keys", "list"],
    ],
    ids=" ".join,
)
def test_without_a_running_up_it_is_said_how_to_have_one(arguments: list[str], tmp_path: Path) -> None:
    done = meterline(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"meterline: no `meterline up` is running on {tmp_path / '.meterline'}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["metrics", "list"], ["setup"]], ids=" ".join)
def test_a_setting_that_is_wrong_is_named(arguments: list[str], tmp_path: Path) -> None:
    more = {"METERLINE_KAFKA": "127.0.0.1:9", "METERLINE_TOPIC_PREFIX": "not a prefix"}
    done = meterline(*arguments, folder=tmp_path, more=more)
    assert done.returncode == 1
    assert "METERLINE_TOPIC_PREFIX" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = meterline("up", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert f"cannot use the folder {tmp_path / 'file' / 'data'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"meterline \d+\.\d+\.\d+\n", meterline("--version").stdout)


@pytest.fixture
def catalog(kafka: str, prefix: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command on topics that exist; a text is the file that it gets."""
    ensure_topics(KafkaSettings(kafka=kafka, topic_prefix=prefix), 1)

    def run(*words: str, file: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "catalog.yaml").write_text(file)
        more = {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
        done = meterline(*words, *(["catalog.yaml"] if file else []), folder=tmp_path, more=more)
        assert "Traceback" not in done.stderr
        return done

    return run


Catalog = Callable[..., subprocess.CompletedProcess[str]]


def records(kafka: str, prefix: str) -> list[bytes | None]:
    """Keys on the topic of the catalog."""
    settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
    log = KafkaLog(settings.client(), settings.topic("meterline.config"), 0)
    keys = [record.key for record in log.read_to_end()]
    log.close()
    return keys


def test_without_topics_it_is_said_how_to_have_them(kafka: str, prefix: str, tmp_path: Path) -> None:
    more = {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
    for words in (["metrics", "list"], ["catalog", "list"], ["catalog", "apply", "--defaults", "orders"]):
        done = meterline(*words, folder=tmp_path, more=more)
        assert done.returncode == 1
        assert "run `meterline setup` first" in done.stderr


def test_metrics_are_applied_where_they_differ_and_listed(kafka: str, prefix: str, catalog: Catalog) -> None:
    assert "no metrics are defined" in catalog("metrics", "list").stdout
    text = "metrics:\n  - key: orders\n    unit: order\n  - key: storage\n    aggregation: max\n"
    first = catalog("metrics", "apply", file=text)
    assert first.stdout.splitlines() == ["metric orders: new", "metric storage: new", "2 in the file, 2 written"]
    second = catalog("metrics", "apply", file=text + "    name: Storage\n    group_by: [region, tier]\n")
    assert second.stdout.splitlines() == [
        "metric orders: as it was",
        "metric storage: name none → Storage, group_by none → region, tier",
        "2 in the file, 1 written",
    ]
    assert records(kafka, prefix) == [b"partitions", b"metric/orders", b"metric/storage", b"metric/storage"]
    listed = json.loads(catalog("metrics", "list", "--format", "json").stdout)
    metrics = [Metric.model_validate(each) for each in listed]
    assert [(metric.key, metric.aggregation, metric.version) for metric in metrics] == [
        ("orders", "sum", 1),
        ("storage", "max", 2),
    ]
    assert "storage" in catalog("metrics", "list").stdout


def test_nothing_of_a_file_is_written_if_one_entry_cannot_be_taken(kafka: str, prefix: str, catalog: Catalog) -> None:
    catalog("catalog", "apply", file="metrics: [{key: orders}]")
    before = records(kafka, prefix)
    done = catalog(
        "catalog",
        "apply",
        file="quotas:\n  - {metric: orders, included: 5}\n  - metric: order\n    included: 5\n"
        "metrics:\n  - key: new\n  - key: orders\n    aggregation: max\n",
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "meterline: catalog.yaml was not applied:",
        "  line 3: quota 2: `metric`: 'order' is not defined; define the metric first",
    ]
    assert "line 8: metric 2: `aggregation`: is sum and cannot become max" in done.stderr
    assert "define a new metric" in done.stderr
    assert records(kafka, prefix) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(kafka: str, prefix: str, catalog: Catalog) -> None:
    before = records(kafka, prefix)
    done = catalog("catalog", "apply", "--dry-run", "--defaults", "orders")
    assert done.stdout.splitlines() == [
        *(f"metric {key}: new" for key in ("order", "invoice", "storage", "api_call", "ai_job")),
        "threshold orders-per-month: new",
        "6 in the file, 6 to write (--dry-run)",
    ]
    assert records(kafka, prefix) == before


def test_the_shipped_files_are_applied_one_after_the_other(catalog: Catalog) -> None:
    assert catalog("catalog", "apply", "--defaults", "orders").stdout.endswith("6 in the file, 6 written\n")
    second = catalog("catalog", "apply", "--defaults", "features").stdout.splitlines()
    assert "metric api_call: as it was" in second
    assert second[-1] == "20 in the file, 19 written"
    for words in ([], ["--defaults", "orders"]):
        text = "" if not words else "metrics: [{key: a}]"
        assert "name a FILE or --defaults" in catalog("catalog", "apply", *words, file=text).stderr


def test_entries_are_listed_without_secrets_and_deleted_by_the_keys_that_are_shown(catalog: Catalog) -> None:
    secret = "whsec_" + "B" * 43 + "="
    assert catalog("catalog", "list").stdout.startswith("nothing is defined yet")
    assert catalog("catalog", "list", "--kind", "quota").stdout.startswith("no quota is defined yet")
    catalog(
        "catalog",
        "apply",
        file="metrics: [{key: calls}]\ntenants: [{id: acme, time_zone: Europe/Vienna}]\n"
        "quotas: [{metric: calls, included: 10}, {metric: calls, tenant_id: a/b, subject: 'user:1', included: 2.50}]\n"
        f"webhooks: [{{id: ops, url: 'https://example.com', secret: {secret}}}]\n"
        "thresholds: [{id: t, metric: calls, notify_webhooks: [ops]}]\n"
        "plans: [{id: team, currency: EUR, versions: [{charges: [{metric: calls, price: "
        "{model: per_unit, unit_price: 0.5}}]}, {start: 2199-01-01T00:00:00Z, base_fee: 7.50}]}]\n"
        "tenant_plans: [{tenant_id: lab, spans: [{start: 2026-11-01T00:00:00Z, plan: team}]}]\n",
    )
    shown = catalog("catalog", "list").stdout
    listed = catalog("catalog", "list", "--format", "json").stdout
    for text in (shown, listed):
        assert secret not in text
        assert "https://example.com" in text
    found = json.loads(listed)
    assert {name: len(entries) for name, entries in found.items() if entries} == {
        **dict.fromkeys(("metrics", "tenants", "webhooks", "thresholds", "plans", "tenant_plans"), 1),
        "quotas": 2,
    }
    shown_plans = catalog("catalog", "list", "--kind", "plan").stdout.splitlines()[-1]
    assert shown_plans.split() == ["team", "EUR", "monthly", "2", "7.5"]
    assert "team from 2026-11-01T00:00:00Z" in catalog("catalog", "list", "--kind", "tenant_plan").stdout
    assert [quota["included"] for quota in found["quotas"]] == ["10", "2.5"]
    assert list(json.loads(catalog("catalog", "list", "--kind", "tenant", "--format", "json").stdout)) == ["tenants"]

    used = catalog("catalog", "delete", "webhook", "ops")
    assert used.returncode == 1
    assert "'ops' is used by threshold 't'; delete that first" in used.stderr
    changed = catalog(
        "catalog", "apply", file=f"webhooks: [{{id: ops, url: 'https://example.com', secret: whsec_{'C' * 43}=}}]"
    )
    assert "webhook ops: secret changed" in changed.stdout
    begun = catalog("catalog", "apply", file="plans:\n  - id: team\n    currency: EUR\n    versions:\n      - {}\n")
    assert "line 5: plan 1: `versions.0`: has begun and tenants are or were on it" in begun.stderr
    later = catalog("catalog", "apply", file="tenant_plans: [{tenant_id: lab, spans: []}]")
    assert "tenant_plan lab: spans changed" in later.stdout, "nothing is invoiced"
    for kind, key in (
        ("quota", "calls/a~1b/user:1"),
        ("quota", "calls"),
        ("threshold", "t"),
        ("webhook", "ops"),
        ("tenant", "acme"),
        ("tenant_plan", "lab"),
        ("plan", "team"),
    ):
        assert key in shown.split()
        assert catalog("catalog", "delete", kind, key).stdout == f"{kind} {key}: deleted\n"
        assert f"there is no {kind}" in catalog("catalog", "delete", kind, key).stderr
    left = json.loads(catalog("catalog", "list", "--format", "json").stdout)
    assert {name for name, entries in left.items() if entries} == {"metrics"}


def test_a_metric_is_deleted_unless_it_has_usage(
    kafka: str, prefix: str, migrated: ClickHouseSettings, tmp_path: Path
) -> None:
    kafka_settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
    ensure_topics(kafka_settings, 1)
    apply_metrics(kafka_settings, [Metric(key=key) for key in ("used", "idle")])
    tables = ClickHouse(migrated, migrated.database)
    place = {"kafka_partition": 0, "kafka_offset": 0, "kafka_line": 0, "received_at": "2026-11-21T05:00:01Z"}
    event = {"tenant_id": "t", "metric": "used", "timestamp": "2026-11-21T05:00:00Z", "id": "1", "quantity": "1"}
    tables.insert("usage_events_raw", json.dumps({**event, **place}).encode())
    tables.close()

    def delete(metric: str, url: str = migrated.url) -> subprocess.CompletedProcess[str]:
        more = {
            "METERLINE_KAFKA": kafka,
            "METERLINE_TOPIC_PREFIX": prefix,
            "METERLINE_CLICKHOUSE_URL": url,
            "METERLINE_CLICKHOUSE_USER": migrated.user,
            "METERLINE_CLICKHOUSE_PASSWORD": migrated.password.get_secret_value(),
            "METERLINE_CLICKHOUSE_DATABASE": migrated.database,
        }
        return meterline("catalog", "delete", "metric", metric, folder=tmp_path, more=more)

    used = delete("used")
    assert used.returncode == 1
    assert "metric 'used' has usage" in used.stderr
    assert "archive it instead" in used.stderr
    away = delete("idle", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "127.0.0.1:9" in away.stderr
    cluster.produce(kafka, prefix + EVENTS, [(0, b"{}")])
    behind = delete("idle")
    assert behind.returncode == 1
    assert "does not have all events yet" in behind.stderr
    assert not any(metric.retired for metric in read_metrics(kafka_settings).values())
    judged = Consumer({"bootstrap.servers": kafka, "group.id": kafka_settings.topic(STREAM_GROUP)})
    judged.commit(offsets=[TopicPartition(prefix + EVENTS, 0, 1)], asynchronous=False)
    judged.close()
    assert delete("idle").stdout == "metric idle: deleted\n"
    # what the topic still has of it after the tombstone: nothing but that it was there
    assert {key for key, metric in read_metrics(kafka_settings).items() if not metric.retired} == {"used"}


def test_setup_makes_topics_and_tables_and_corrects_on_demand(
    kafka: str, prefix: str, clickhouse: object, tmp_path: Path
) -> None:
    from meterline_deploy.cluster import Cluster
    from meterline_schemas.settings import ClickHouseSettings

    assert isinstance(clickhouse, ClickHouseSettings)
    more = {
        "METERLINE_KAFKA": kafka,
        "METERLINE_TOPIC_PREFIX": prefix,
        "METERLINE_CLICKHOUSE_URL": clickhouse.url,
        "METERLINE_CLICKHOUSE_USER": clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
    }
    first = meterline("setup", "--partitions", "3", folder=tmp_path, more=more)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[0] == "topics: 3 partitions"
    assert "applied 0001_usage_events_raw.sql" in first.stdout
    again = meterline("setup", folder=tmp_path, more=more)
    assert again.stdout.splitlines() == ["topics: 3 partitions", "tables: up to date"]
    other = meterline("setup", "--partitions", "4", folder=tmp_path, more=more)
    assert other.returncode == 1
    assert "set up with 3 partitions here, not 4" in other.stderr
    Cluster(KafkaSettings(kafka=kafka)).change(prefix + "usage.totals", {"cleanup.policy": "delete"})
    differs = meterline("setup", folder=tmp_path, more=more)
    assert differs.returncode == 1
    assert f"topic {prefix}usage.totals: cleanup.policy is delete, must be compact,delete" in differs.stdout
    corrected = meterline("setup", "--correct", folder=tmp_path, more=more)
    assert corrected.returncode == 0
    assert meterline("setup", folder=tmp_path, more=more).returncode == 0


def test_exports_survive_a_shell_and_leave_defaults_out() -> None:
    lines = exports(info(topic_prefix="x.").environment()).splitlines()
    values = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert values["METERLINE_CLICKHOUSE_PASSWORD"] == 'it\'s "secret" $HOME'
    assert values["METERLINE_TOPIC_PREFIX"] == "x."
    assert "METERLINE_CLICKHOUSE_DATABASE" not in values


def test_a_run_is_found_only_while_its_process_lives(tmp_path: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        there = info(pid=sleeper.pid, started=run.started_at(sleeper.pid))
        run.write(tmp_path, there)
        assert run.find(tmp_path) == there
        run.write(tmp_path, msgspec.structs.replace(there, started=there.started - 60))  # another process' number
        with pytest.raises(NotRunningError):
            run.find(tmp_path)
        run.write(tmp_path, there)
    finally:
        sleeper.kill()
        sleeper.wait()
    with pytest.raises(NotRunningError, match=r"start it, name its folder with --data or METERLINE_DATA"):
        run.find(tmp_path)
    (tmp_path / run.FILE).write_text("{")
    with pytest.raises(NotRunningError):
        run.find(tmp_path)


def test_variables_that_are_set_win_over_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    run.write(tmp_path, info(pid=os.getpid(), started=run.started_at(os.getpid())))
    monkeypatch.setenv("METERLINE_KAFKA", "elsewhere:9092")
    found = run.settings_environment(tmp_path)
    assert found["METERLINE_KAFKA"] == "elsewhere:9092"
    assert found["METERLINE_API_KEY"] == "k"


def test_a_run_is_not_needed_where_servers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotRunningError):
        run.settings_environment(tmp_path)
    monkeypatch.setenv("METERLINE_KAFKA", "elsewhere:9092")
    found = run.settings_environment(tmp_path)
    assert {name: value for name, value in found.items() if not name.startswith("METERLINE_TEST_")} == {
        "METERLINE_KAFKA": "elsewhere:9092"
    }


def test_ports_are_checked_together() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        with pytest.raises(PortsTakenError, match=rf"port {first} is taken.*--kafka-port; port {second}.*--api-port"):
            check_ports({"--kafka-port": first, "--api-port": second})
    with pytest.raises(ConfigurationError, match="--kafka-port and --api-port are the same port"):
        check_ports({"--kafka-port": 7, "--api-port": 7, "--clickhouse-port": 8})
    assert Options(data=Path(), kafka="x").ports == {"--clickhouse-port": 8123, "--api-port": 3000}
