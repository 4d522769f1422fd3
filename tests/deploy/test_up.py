"""`meterline up` as a whole: it comes up, says so, keeps its parts alive, keeps its word, and goes."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect
import psutil
import pytest
from confluent_kafka import Consumer

from meterline_schemas.settings import ClickHouseSettings
from tests.deploy.running import PARTS, Up, meterline
from tests.support.streams import wait_until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that is up, with two stream workers; every test leaves it well."""
    with Up(tmp_path_factory.mktemp("up") / "data", "--partitions", "2", "--workers", "2") as running:
        running.start().wait_for("ready")
        yield running


@pytest.fixture
def beside(kafka: str, prefix: str, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[Up]:
    """One that uses servers that exist; not started yet."""
    with Up(
        tmp_path / "data",
        *("--kafka", kafka, "--clickhouse", clickhouse.url, "--partitions", "2"),
        METERLINE_TOPIC_PREFIX=prefix,
        METERLINE_CLICKHOUSE_USER=clickhouse.user,
        METERLINE_CLICKHOUSE_PASSWORD=clickhouse.password.get_secret_value(),
        METERLINE_CLICKHOUSE_DATABASE=clickhouse.database,
    ) as running:
        yield running


def environment(up: Up) -> dict[str, str]:
    """What a shell makes of `meterline env`."""
    exports = meterline("env", "--data", str(up.data)).stdout
    shell = subprocess.run(["sh", "-c", f"{exports}\nenv -0"], capture_output=True, text=True, check=True, env={})
    pairs = (line.partition("=") for line in shell.stdout.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("METERLINE_")}


def send(settings: dict[str, str], tenant: str, key: str | None = None) -> int:
    """One event over HTTP; the status."""
    event = {
        "tenant_id": tenant,
        "metric": "api_calls",
        "id": "1",
        "quantity": 1,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    request = urllib.request.Request(
        settings["METERLINE_API_URL"] + "/v1/events",
        data=json.dumps(event).encode(),
        headers={
            "Authorization": f"Bearer {settings['METERLINE_API_KEY'] if key is None else key}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def define(up: Up, folder: Path) -> None:
    file = folder / "metrics.yaml"
    file.write_text("metrics:\n  - key: api_calls\n")
    done = meterline("metrics", "apply", str(file), "--data", str(up.data))
    assert done.returncode == 0, done.stderr


def counted(settings: dict[str, str], tenant: str) -> int:
    """Events of a tenant, through a stock ClickHouse client."""
    url = re.fullmatch(r"http://([^:]+):(\d+)", settings["METERLINE_CLICKHOUSE_URL"])
    assert url is not None
    client = clickhouse_connect.get_client(
        host=url[1],
        port=int(url[2]),
        username=settings["METERLINE_CLICKHOUSE_USER"],
        password=settings["METERLINE_CLICKHOUSE_PASSWORD"],
    )
    try:
        rows = client.query(
            "SELECT count() FROM meterline.usage_events WHERE tenant_id = {tenant:String}", {"tenant": tenant}
        ).result_rows
        return int(rows[0][0])
    finally:
        client.close()


def test_a_line_tells_of_each_part_in_order_and_then_one_starts_with_ready(up: Up) -> None:
    expected = [*PARTS[:5], "streams-2", *PARTS[5:], "ready:"]
    firsts = [line.split()[0] for line in up.lines]
    firsts = [first for first in firsts if first.rstrip(":") not in expected or not first.endswith(":")]  # own words
    assert firsts[: len(expected)] == expected
    assert sum(line.startswith("ready") for line in up.lines) == 1


def test_what_env_prints_connects_stock_clients(up: Up, tmp_path: Path) -> None:
    settings = environment(up)
    consumer = Consumer({"bootstrap.servers": settings["METERLINE_KAFKA"], "group.id": "stock"})
    assert len(consumer.list_topics("usage.events", timeout=20).topics["usage.events"].partitions) == 2
    consumer.close()
    define(up, tmp_path)
    assert send(settings, "stock") == 202
    wait_until(lambda: counted(settings, "stock") == 1, 30, "the event in ClickHouse")
    assert send(settings, "stock", key="wrong") == 401


def test_doctor_finds_nothing_wrong(up: Up) -> None:
    found: list[str] = []

    def well() -> bool:
        done = meterline("doctor", "--data", str(up.data))
        found[:] = done.stdout.splitlines()
        return done.returncode == 0

    wait_until(well, 60, "doctor content")
    assert found[-1] == "all is well"
    for subject in (
        "kafka",
        "topics",
        "partitions",
        "clock of Kafka",
        "stream lag",
        "sink lag",
        "notifier lag",
        "notifier",
        "clickhouse",
        "tables",
    ):
        assert any(re.match(rf"ok +{subject}:", line) for line in found), found


def test_a_second_one_on_the_same_folder_is_refused_with_the_reason(up: Up) -> None:
    done = meterline(*up.command())
    assert done.returncode == 1
    assert "is in use: another `meterline up` is running on it" in done.stderr
    assert str(up.process.pid) in done.stderr
    assert "Traceback" not in done.stderr


def test_ports_that_are_taken_are_all_named_with_their_options(up: Up, tmp_path: Path) -> None:
    done = meterline(*up.command(tmp_path / "other"))
    assert done.returncode == 1
    for option, port in up.ports.items():
        assert f"port {port} is taken: choose another one with {option}" in done.stderr


def test_secrets_are_for_this_user_only(up: Up) -> None:
    settings = environment(up)
    secrets = [value for name, value in settings.items() if name.endswith(("_PASSWORD", "_KEY"))]
    assert len(secrets) == 3
    for path in up.data.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    command_lines = [child.cmdline() for child in psutil.Process(up.process.pid).children(recursive=True)]
    assert not any(secret in " ".join(line) for secret in secrets for line in command_lines)


def test_everything_listens_on_this_machine_only(up: Up) -> None:
    for child in psutil.Process(up.process.pid).children(recursive=True):
        addresses = {each.laddr.ip for each in child.net_connections("inet") if each.status == psutil.CONN_LISTEN}
        assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}, (child.cmdline(), addresses)


@pytest.mark.parametrize(
    "part",
    ["streams", "kafka", *(pytest.param(part, marks=pytest.mark.long) for part in ("api", "sinks", "clickhouse"))],
)
def test_a_part_that_is_killed_is_started_again_and_that_is_said(up: Up, part: str, tmp_path: Path) -> None:
    define(up, tmp_path)
    settings = environment(up)
    since = len(up.lines)
    up.children()[part].kill()
    pattern = rf"{part}(-2)? was killed by SIGKILL.*; starting it again in 0\.5 s \(log: "
    wait_until(lambda: any(re.match(pattern, line) for line in up.lines[since:]), 30, f"{part} said to be killed")
    wait_until(
        lambda: any(re.fullmatch(rf"{part}(-2)? is back", line) for line in up.lines[since:]), 60, f"{part} back"
    )
    wait_until(lambda: send(settings, f"after-{part}") == 202, 60, "events taken")
    wait_until(lambda: counted(settings, f"after-{part}") == 1, 90, "events counted")


def test_kill_9_ends_every_part_and_the_next_start_has_everything_again(tmp_path: Path) -> None:
    with Up(tmp_path / "data", "--partitions", "1") as up:
        up.start().wait_for("ready")
        define(up, tmp_path)
        before = environment(up)
        assert send(before, "kept") == 202
        children = list(up.children().values())
        assert len(children) == 6
        up.process.kill()
        up.process.wait()
        wait_until(lambda: not any(child.is_running() for child in children), 10, "every part gone")
        assert meterline("env", "--data", str(up.data)).returncode == 1
        up.start().wait_for("ready")
        assert environment(up) == before
        wait_until(lambda: counted(before, "kept") == 1, 30, "the event that was acknowledged")
        assert up.end() == 0
        assert up.lines[-2:] == ["stopping", "stopped"]


def test_servers_that_exist_are_used_and_left_alone(beside: Up, kafka: str, clickhouse: ClickHouseSettings) -> None:
    beside.start().wait_for("ready")
    assert set(beside.children()) == {"streams", "sinks", "notifier", "api"}
    settings = environment(beside)
    assert settings["METERLINE_KAFKA"] == kafka
    assert settings["METERLINE_CLICKHOUSE_URL"] == clickhouse.url
    assert settings["METERLINE_CLICKHOUSE_DATABASE"] == clickhouse.database
    assert beside.end(signal.SIGINT) == 0


def test_another_number_of_partitions_than_before_is_refused(beside: Up) -> None:
    beside.start().wait_for("ready")
    assert beside.end() == 0
    done = meterline(*beside.command(), "--partitions", "3", more=beside.environment)
    assert done.returncode == 1
    assert "set up with 2 partitions here, not 3" in done.stderr


@pytest.mark.parametrize("after", ["", "kafka", "migrations"])
def test_it_can_be_stopped_at_any_moment_of_its_start(beside: Up, after: str) -> None:
    beside.start()
    if after:
        beside.wait_for(after)
    else:
        wait_until((beside.data / "run.json").exists, 30, "begun")
    assert beside.end() == 0
    assert not beside.said("ready")
    assert beside.lines[-1] == "stopped"


def test_it_can_be_stopped_while_the_embedded_servers_start(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        up.start()
        wait_until(lambda: "kafka" in up.children(), 60, "Kafka begun")
        assert up.end() == 0


def test_a_part_that_is_frozen_does_not_hold_up_the_stop(beside: Up) -> None:
    beside.start().wait_for("ready")
    beside.children()["streams"].suspend()
    assert beside.end() == 0
    assert beside.said("streams did not stop in time and was killed")
