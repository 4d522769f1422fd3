"""``meterline reconcile`` beside a whole installation: exact while events arrive, and after."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from meterline_deploy.reconcile.kafka import Topics
from meterline_schemas.errors import UnavailableError
from meterline_schemas.settings import KafkaSettings
from tests.deploy.running import Up, meterline
from tests.support.streams import wait_until

EVENTS = 8_000


def workload(seed: int) -> tuple[list[bytes], set[tuple[str, str]]]:
    """Lines, and the identities of those that count: repeats, late events and unknown metrics among them."""
    chance = random.Random(seed)
    now = datetime.now(UTC)
    lines: list[bytes] = []
    counting: set[tuple[str, str]] = set()
    for number in range(EVENTS):
        if lines and chance.random() < 0.05:
            lines.append(chance.choice(lines))
            continue
        late = chance.random() < 0.05
        at = now - timedelta(hours=9 if late else 0, seconds=chance.randrange(3 * 3600))
        known = chance.random() < 0.98
        event = {
            "id": f"id-{number}",
            "tenant_id": f"tenant-{int(chance.paretovariate(1)) % 40}",
            "metric": chance.choice(["api_calls", "storage"]) if known else "unknown",
            "quantity": f"{chance.randrange(10**6)}.{chance.randrange(10**9):09d}",
            "timestamp": at.isoformat(),
            "properties": {"n": number % 5},
        }
        if known:
            counting.add((str(event["tenant_id"]), str(event["id"])))
        lines.append(json.dumps(event).encode())
    return lines, counting


def reconcile(up: Up) -> tuple[CompletedProcess[str], dict[str, Any]]:
    done = meterline("reconcile", "--format", "json", "--wait", "60", "--data", str(up.data))
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout)


def test_it_is_exact_while_events_arrive_and_after(tmp_path: Path) -> None:
    lines, counting = workload(7)
    (tmp_path / "metrics.yaml").write_text("metrics:\n  - key: api_calls\n  - key: storage\n")
    with Up(tmp_path / "data", "--partitions", "2").start() as up, ThreadPoolExecutor(1) as emitting:
        up.wait_for("ready")
        data = ("--data", str(up.data))
        assert meterline("metrics", "apply", str(tmp_path / "metrics.yaml"), *data).returncode == 0
        sent = emitting.submit(emit_steadily, lines, up.data)
        looks = 0
        while not sent.done() or looks == 0:
            done, report = reconcile(up)
            assert done.returncode == 0, report["verdict"]
            looks += 1
        assert sent.result() == 0
        wait_until(lambda: unjudged(reconcile(up)[1]) == 0, 120, "everything is judged")
        done, report = reconcile(up)
        assert done.returncode == 0
        assert report["verdict"].startswith("exact:")
        compared = {check["check"]: check["compared"] for check in report["checks"]}
        assert compared["lines"] == len(lines)
        assert compared["rows"] == len(counting)
        assert compared["rejects"] == len(lines) - len(counting)
        asked = ("--from", "2020-01-01", "--to", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        shown = meterline("reconcile", *asked, *data)
        assert shown.returncode == 0
        assert shown.stdout.splitlines()[-1].startswith("exact:")
        owner = ("sql", "--admin", *data)
        row = meterline(
            *owner, "SELECT tenant_id, id, quantity FROM usage_events WHERE late = 0 LIMIT 1"
        ).stdout.split()
        planted = f"ALTER TABLE usage_events_raw DELETE WHERE tenant_id = '{row[0]}' AND id = '{row[1]}'"
        assert meterline(*owner, planted + " SETTINGS mutations_sync = 2").returncode == 0
        shown = meterline("reconcile", *data)
        assert shown.returncode == 1
        assert shown.stdout.splitlines()[-1].startswith("DIFFERENT:")
        (named,) = [line for line in shown.stdout.splitlines() if "missing in ClickHouse" in line]
        assert f"tenant_id={row[0]}" in named
        assert f"id={row[1]}:" in named
        assert f"quantity {row[2]}" in named
        assert up.end() == 0


def emit_steadily(lines: list[bytes], data: Path) -> int:
    """Through a pipe, over some seconds, so that there is traffic while others look; the exit code."""
    command = [sys.executable, "-m", "meterline_deploy", "emit", "-", "--data", str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        for start in range(0, len(lines), 400):
            process.stdin.write(b"\n".join(lines[start : start + 400]) + b"\n")
            process.stdin.flush()
            time.sleep(0.2)
        process.stdin.close()
        return process.wait(60)


def unjudged(report: dict[str, Any]) -> int:
    return sum(int(line["unjudged"]) for line in report["partitions"])


def test_servers_that_are_away_and_wrong_options_are_said(tmp_path: Path) -> None:
    nowhere = {"METERLINE_KAFKA": "127.0.0.1:9", "METERLINE_CLICKHOUSE_URL": "http://127.0.0.1:9"}
    done = meterline("reconcile", folder=tmp_path, more=nowhere)
    assert done.returncode == 1
    assert done.stderr.startswith("meterline: ClickHouse at http://127.0.0.1:9 cannot be read; is it running")
    assert "Traceback" not in done.stderr
    with pytest.raises(UnavailableError, match=r"Kafka at 127.0.0.1:9 cannot be read: .*METERLINE_KAFKA"):
        Topics(KafkaSettings(kafka="127.0.0.1:9"), timeout=1).partitions("usage.events")
    done = meterline("reconcile", "--from", "2026-12-01", "--to", "2026-11-01", folder=tmp_path)
    assert done.returncode == 2
    assert "must be after" in done.stderr
    assert "Traceback" not in done.stderr
