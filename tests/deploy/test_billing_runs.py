"""``meterline billing``: through the real API, whose jobs keep to a folder."""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

from tests.api.billing.jobs.keyed import KEYS, MIDDLE, kept
from tests.api.billing.jobs.site import Site
from tests.api.process import KEY
from tests.deploy.running import asked, meterline
from tests.support.streams import wait_until

DUE = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def test_jobs_are_done_waited_for_and_listed(kafka: str, prefix: str, tmp_path: Path) -> None:
    day, at = f"{DUE:%Y-%m-%d}", f"{DUE:%Y-%m-%dT00:00:00Z}"
    with Site(kafka, prefix, tmp_path) as site:

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            more = {"METERLINE_API_URL": str(site.api.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "80"}
            done = meterline("billing", *words, folder=tmp_path, more=more)
            assert "Traceback" not in done.stderr
            return done

        assert run("runs").stdout == "nothing was run yet\n"
        done = run("run", "push", "--due", day, "--dry-run")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"push for {at} would be done; nothing was changed\n  would_append: 8\n"
        assert run("runs").stdout == "nothing was run yet\n"

        done = run("run", "reconcile", "--due", "now")
        assert (done.returncode, done.stdout) == (1, "")
        assert "the API refuses: this server does not do the job reconcile" in done.stderr

        with site.holding():
            waiting = list[subprocess.CompletedProcess[str]]()
            thread = threading.Thread(target=lambda: waiting.append(run("run", "push", "--due", day, "--wait")))
            thread.start()
            wait_until(lambda: len(kept(site.effect("push", at))) == MIDDLE, 60, "it is in the middle")
            again = run("run", "push", "--due", at)
            assert again.returncode == 0
            assert again.stdout.startswith(f"push for {at} is running, by ")
            assert "--wait waits" in again.stderr
        thread.join(60)
        (done,) = waiting
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"push for {at} is done, by ")
        assert "  appended: 8\n" in done.stdout
        assert tuple(kept(site.effect("push", at))) == KEYS

        with site.failing("no key of Stripe\x1b[31m: set it"):
            done = run("run", "close", "--due", day, "--wait", "--format", "json")
        assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "failed")
        assert run("runs", "--state", "lost").stdout == "no such runs\n"
        listed = run("runs", "--job", "close")
        assert "failed" in listed.stdout
        assert "no key of Stripe [31m: set it" in listed.stdout
        assert max(map(len, listed.stdout.splitlines())) <= 80
        assert run("runs", "--limit", "1").stderr == "there are older ones: --limit 10\n"
        found = json.loads(run("runs", "--format", "json").stdout)
        assert [(each["job"], each["state"]) for each in found] == [("push", "done"), ("close", "failed")]
    done = run("runs")
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)


def test_an_instant_that_is_none_is_a_wrong_command_line() -> None:
    said = asked("billing", "run", "push", "--due", "noon")
    assert said.returncode == 2
    assert "is no time" in said.stderr
