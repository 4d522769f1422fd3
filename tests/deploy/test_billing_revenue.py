"""``meterline billing revenue`` and ``billing mrr``: through the real API."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from meterline_schemas.settings import ClickHouseSettings
from tests.api.billing.exporting.ledger import OCTOBER, Ledger
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import asked, meterline
from tests.services.kafka import create_topics


def test_revenue_and_what_recurs_are_told(
    kafka: str, prefix: str, migrated: ClickHouseSettings, tmp_path: Path
) -> None:
    create_topics(kafka, prefix, 1)
    ledger = Ledger(migrated)
    before, after = ledger.invoice("acme"), ledger.invoice("acme", OCTOBER + timedelta(days=31))
    ledger.invoice("=cmd()")
    api = ApiProcess(kafka, prefix, migrated, tmp_path)
    api.start()
    more = {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "120"}

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        done = meterline("billing", *words, folder=tmp_path, more=more)
        assert "Traceback" not in done.stderr
        return done

    try:
        months = ("--from", "2026-10", "--to", "2027-01")
        done = said("revenue", *months, "--by", "tenant", "--by", "metric", "--format", "json")
        assert (done.returncode, done.stderr) == (0, "")
        rows = [row for row in json.loads(done.stdout) if row["tenant_id"] == "acme"]
        assert sum(Decimal(row["total"]) for row in rows) == before.total + after.total
        done = said("revenue", *months, "--tenant", "acme")
        head, first, second = done.stdout.splitlines()
        assert " ".join(head.split()) == "month currency base fee usage adjustment manual credit total growth"
        assert first.split()[:2] == ["2026-10", "USD"]
        assert first.split()[-2:] == [f"{before.total:.2f}", "–"]
        grown = round((after.total - before.total) / abs(before.total) * 100, 1)
        assert second.split()[-2:] == [f"{after.total:.2f}", f"{grown}%"]
        assert said("revenue", "--from", "2026-09", "--to", "2026-10").stdout.startswith("nothing was invoiced")
        wrong = said("revenue", "--from", "October")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "the API refuses" in wrong.stderr

        assert said("mrr").stdout == "nobody who is billed is on a plan then\n"
        team = {"id": "team", "currency": "EUR", "period": "daily", "versions": [{"base_fee": "0.99"}]}
        assert api.client.post("/v1/plans", json=team).status_code == 201
        for id in ("a", "b"):
            api.client.put(f"/v1/tenants/{id}/plan", json={"plan": "team"}).raise_for_status()
        done = said("mrr")
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["plan", "currency", "tenants", "each", "month", "mrr"],
            ["team", "EUR", "2", "30.11", "60.22"],
            ["all", "EUR", "2", "∅", "30.11", "60.22"],
        ]
        ahead = (datetime.now(UTC) + timedelta(days=40)).date().isoformat()
        found = json.loads(said("mrr", "--at", ahead, "--tenant", "a", "--format", "json").stdout)
        assert (found["at"], found["data"][0]["mrr"]) == (f"{ahead}T00:00:00Z", "30.11")
    finally:
        api.stop()


def test_an_instant_that_is_none_is_a_wrong_command_line() -> None:
    told = asked("billing", "mrr", "--at", "noon")
    assert told.returncode == 2
    assert "is no time" in told.stderr
