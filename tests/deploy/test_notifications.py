"""``meterline notifications``: through the real API, with a real notifier behind it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.api.process import KEY
from tests.api.telling import telling
from tests.deploy.running import meterline
from tests.services.clickhouse import ClickHouseServer
from tests.support.ports import free_port


def test_what_was_told_is_listed_shown_and_told_once_more(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path: Path
) -> None:
    with telling(kafka, clickhouse_server, tmp_path) as told:

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            more = {"METERLINE_API_URL": str(told.api.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "80"}
            done = meterline("notifications", *words, folder=tmp_path, more=more)
            assert "Traceback" not in done.stderr
            return done

        assert run("list").stdout == "nothing was told yet\n"
        made = told.crossed("a-tenant-with-a-rather-long-name", subject="user:1", percent="103.01")
        other = told.crossed(minutes=1)
        told.gone.add(made.id)
        told.tell(made, other, told.defined())
        told.wait(made.id, crm=["delivered", 200], erp=["failed", 410])

        done = run("list")
        assert all(text in done.stdout for text in (made.id, other.id, "threshold.exceeded", "orders (103.01 %)"))
        assert "metric.defined" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert json.loads(run("list", "--tenant", made.tenant_id, "--format", "json").stdout)[0]["id"] == made.id
        assert run("list", "--tenant", "nobody").stdout == "no such notifications\n"
        first = run(
            "list", "--limit", "1", "--type", "threshold.exceeded", "--from", "2026-11-21", "--to", "2026-11-22"
        )
        assert other.id in first.stdout
        assert made.id not in first.stdout
        assert first.stderr == "there are older ones: --limit 10\n"

        shown = run("show", made.id).stdout
        assert "webhook/erp: failed" in shown
        assert "10000 of 10000 (103.01 %)" in shown
        assert max(map(len, shown.splitlines())) <= 80
        assert "\x1b" not in shown, "a receiver does not steer the terminal"
        assert json.loads(run("show", made.id, "--format", "json").stdout) == told.get(made.id)

        told.gone.clear()
        done = run("resend", made.id, "--target", "webhook/erp")
        assert (done.returncode, done.stdout) == (0, f"{made.id} is told once more to webhook/erp\n")
        told.wait(made.id, crm=["delivered", 200], erp=["delivered", 410, 200])
        assert run("resend", made.id).stdout == f"{made.id} is told once more to all that were to be told\n"
        told.wait(made.id, crm=["delivered", 200, 200], erp=["delivered", 410, 200, 200])

        for words, said in (
            (["show", "no such"], "there is no notification 'no such'"),
            (["resend", "ntf_0"], "there is no notification 'ntf_0'"),
            (["resend", made.id, "--target", "crm"], "write it like webhook/<id>"),
            (["resend", made.id, "--target", "webhook/crn"], "these were: webhook/crm, webhook/erp"),
        ):
            done = run(*words)
            assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_an_api_that_is_away_is_said(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for words in (["list"], ["show", "ntf_0"], ["resend", "ntf_0"]):
        done = meterline("notifications", *words, folder=tmp_path, more={"METERLINE_API_URL": url})
        assert done.returncode == 1
        assert f"the API at {url} does not answer" in done.stderr
        assert "`meterline doctor`" in done.stderr
        assert "Traceback" not in done.stderr
