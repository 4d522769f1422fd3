"""``meterline keys``: through the real API."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from meterline_deploy.keys_text import state_of
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import meterline
from tests.services.kafka import create_topics


def test_a_key_is_made_listed_and_revoked(kafka: str, prefix: str, tmp_path: Path) -> None:
    create_topics(kafka, prefix, 2)
    api = ApiProcess(kafka, prefix, None, tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        more = {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "80"}
        done = meterline("keys", *words, folder=tmp_path, more=more)
        assert "Traceback" not in done.stderr
        return done

    def status(key: str) -> int:
        url = api.client.base_url.join("/v1/caller")
        return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, trust_env=False).status_code

    try:
        api.start()
        assert run("list").stdout.startswith("no keys yet")
        made = run("create", "--role", "Viewer", "--tenant", "acme", "--tenant", "beta", "--name", "x" * 90)
        key = made.stdout.strip()
        id = key.split("_")[1]
        assert f"meterline keys revoke {id}" in made.stderr
        assert status(key) == 200
        assert [entry["tenants"] for entry in json.loads(run("list", "--format", "json").stdout)] == [["acme", "beta"]]
        shown = run("list").stdout
        assert id in shown
        assert "valid" in shown
        assert key not in shown
        assert max(map(len, shown.splitlines())) <= 80
        assert run("revoke", id).stdout == f"{id} is revoked\n"
        assert status(key) == 401
        assert "revoked" in run("list").stdout
        wrong = run("create", "--role", "viewer", "--tenant", "acme", "--expires", "tomorrow")
        assert (wrong.returncode, wrong.stderr.startswith("meterline: the API refuses: expires_at")) == (1, True)
        assert run("revoke", "nobody").returncode == 1
    finally:
        api.stop()


@pytest.mark.parametrize(
    ("revoked", "expires", "state"),
    [
        (None, None, "valid"),
        (None, "2027-01-01T00:00:00Z", "valid until 2027-01-01"),
        (None, "2026-01-01T00:00:00Z", "expired 2026-01-01"),
        ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", "revoked 2026-02-01"),
    ],
)
def test_the_state_of_a_key(revoked: str | None, expires: str | None, state: str) -> None:
    assert state_of({"revoked_at": revoked, "expires_at": expires}, datetime(2026, 11, 21, tzinfo=UTC)) == state
