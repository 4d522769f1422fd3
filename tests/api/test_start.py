"""Starting and stopping the process: what is wrong is said in one sentence, and SIGTERM is a clean end."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.api.process import ApiProcess
from tests.support import processes

NOWHERE = "127.0.0.1:1"


def run(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")}
    environment |= {f"METERLINE_{name}": value for name, value in settings.items()}
    return processes.run("meterline_api", environment=environment)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ["METERLINE_API_KEY"]),
        ({"API_KEY": ""}, ["METERLINE_API_KEY"]),
        ({"API_KEY": "k", "API_PORT": "x", "HORIZON": "soon"}, ["METERLINE_API_PORT", "METERLINE_HORIZON"]),
        ({"API_KEY": "k", "UNKNOWN_TENANT": "ignore"}, ["METERLINE_UNKNOWN_TENANT", "'accept' or 'reject'"]),
        ({"API_KEY": "k", "CLICKHOUSE_URL": "localhost"}, ["METERLINE_CLICKHOUSE_URL"]),
        ({"API_KEY": "k", "API_CALLER_LIMIT": "0/second"}, ["METERLINE_API_CALLER_LIMIT", "1000/second"]),
        ({"API_KEY": "k", "KAFKA_CONFIG": '{"no.such": "x"}'}, ["no.such"]),
    ],
)
def test_wrong_settings_are_named_at_once(settings: dict[str, str], said: list[str]) -> None:
    done = run(**settings)
    assert done.returncode == 2
    assert all(name in done.stderr for name in said)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(API_KEY="k", API_PORT=str(port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_runs_without_kafka_and_says_what_is_missing(tmp_path: Path) -> None:
    process = ApiProcess(NOWHERE, "", None, tmp_path)
    process.start(ready=False)
    assert process.client.get("/health/live").json() == {"live": True}
    ready = process.client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["problem"]
    answer = process.send('{"id":"a","tenant_id":"t","metric":"m","quantity":1}')
    assert answer.status_code == 503
    assert [event["status"] for event in answer.json()["events"]] == ["unknown"]
    assert process.stop() == 0
    assert "Traceback" not in process.log()
