"""The job that writes exports: whatever it dies at, whoever finds a manifest finds all of its files, and right ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.billing.exporting.ledger import Ledger
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics
from tests.services.s3 import KEY, SECRET, S3Proxy
from tests.support.processes import Started
from tests.support.streams import wait_until

KINDS = ("invoices", "invoice-lines", "journal")
FIRST = datetime.now(UTC).replace(microsecond=0, second=0, minute=0) - timedelta(hours=2)
RUNS = "/v1/billing/runs"


@dataclass
class Site:
    """An API that writes exports somewhere, and what lies there by name."""

    api: ApiProcess
    die: Path
    files: Callable[[], dict[str, bytes]]

    def run_of(self, due: datetime) -> dict[str, bytes]:
        """The files of a run by their last names."""
        mine = f"{folder_of(due)}/"
        return {name.removeprefix(mine): file for name, file in self.files().items() if name.startswith(mine)}

    def start(self) -> None:
        with patch("tests.api.process.Started", _serving):
            self.api.start()

    def ask(self, due: datetime, **more: Any) -> dict[str, Any]:
        answer = self.api.client.post(RUNS, json={"job": "export", "due": due.isoformat(), **more})
        assert answer.status_code in (200, 202), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def export(self, due: datetime) -> dict[str, Any]:
        """Ask for a run until it has ended, as what another process left is taken over after a while."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.ask(due))
            return found["state"] in ("done", "failed")

        wait_until(ended, 60, lambda: f"{found} {self.api.log()}")
        assert found["state"] == "done", found
        return found

    def dies(self, due: datetime, step: str) -> None:
        self.die.write_text(step)
        self.ask(due)
        wait_until(lambda: not self.alive(), 30, f"it died {step}: {self.api.log()}")
        self.die.unlink()

    def alive(self) -> bool:
        process = self.api._process
        return process is not None and process.poll() is None


def _serving(_module: str, **more: Any) -> Started:
    return Started("tests.api.billing.exporting.serving", **more)


@pytest.fixture
def site(
    request: pytest.FixtureRequest, kafka: str, prefix: str, database: ClickHouseSettings, tmp_path: Path
) -> Iterator[Site]:
    create_topics(kafka, prefix, 1)
    target = tmp_path / "finance" / "exports"
    more = {"TO": str(target)}

    def in_folder() -> dict[str, bytes]:
        found = [path for path in target.rglob("*") if path.is_file()] if target.exists() else []
        return {str(path.relative_to(target)): path.read_bytes() for path in found}

    def in_bucket() -> dict[str, bytes]:
        names = [each["Key"] for each in client.list_objects_v2(Bucket="finance").get("Contents", [])]
        return {
            name.removeprefix("ex/ports/"): client.get_object(Bucket="finance", Key=name)["Body"].read()
            for name in names
        }

    with ExitStack() as stack:
        if request.param == "s3":
            server = S3Proxy(tmp_path)
            stack.callback(server.stop)
            client = stack.enter_context(closing(server.client()))
            client.create_bucket(Bucket="finance")
            more = {"TO": "s3://finance/ex/ports", "ENDPOINT": server.url, "REGION": "us-east-1"}
            more |= {"ACCESS_KEY": KEY, "SECRET_KEY": SECRET}
        settings = {f"BILLING_EXPORT_{name}": value for name, value in more.items()}
        given = {"BILLING_LOST_AFTER": "PT2S", "TEST_DIE": str(tmp_path / "die"), **settings}
        process = ApiProcess(kafka, prefix, database, tmp_path, **given)
        made = Site(process, tmp_path / "die", in_bucket if request.param == "s3" else in_folder)
        stack.callback(lambda: made.alive() and process.stop())
        made.start()
        yield made


def folder_of(due: datetime) -> str:
    return f"{due:%Y%m%dT%H%M%SZ}"


def check(site: Site, due: datetime) -> dict[str, Any]:
    """That a run's files are what its manifest says and what the API gives; the manifest."""
    files = site.run_of(due)
    manifest: dict[str, Any] = json.loads(files["manifest.json"])
    assert [each["kind"] for each in manifest["files"]] == list(KINDS)
    for each in manifest["files"]:
        content = files[each["name"]]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (each["bytes"], each["sha256"])
        assert f"{each['sha256']}  {each['name']}\n".encode() in files["SHA256SUMS"]
        query = {"as_of": each["as_of"], "format": "csv"} | ({"since": each["since"]} if each["since"] else {})
        assert site.api.client.get(f"/v1/exports/{each['kind']}", params=query).content == content
        ndjson = site.api.client.get(f"/v1/exports/{each['kind']}", params=query | {"format": "ndjson"}).text
        assert ndjson.count("\n") == each["rows"]
    return manifest


@pytest.mark.parametrize(
    ("site", "steps"),
    [
        ("folder", ["after as-of.json", "within invoice-lines.csv", "before manifest.json"]),
        ("s3", ["after invoices.csv", "before manifest.json"]),
    ],
    indirect=["site"],
)
def test_a_run_that_dies_anywhere_leaves_no_manifest_and_its_rerun_the_same_bytes(
    site: Site, steps: list[str], ledger: Ledger
) -> None:
    cursors = dict.fromkeys(KINDS, "")
    held: dict[str, str] = {}
    for number, step in enumerate(steps):
        due = FIRST + timedelta(minutes=number)
        dry = site.ask(due, dry_run=True)
        assert not site.run_of(due)
        site.dies(due, step)
        left = site.run_of(due)
        assert "manifest.json" not in left
        assert "as-of.json" in left
        ledger.void(ledger.open()[0])
        ledger.invoice()
        site.start()
        run = site.export(due)
        after = site.run_of(due)
        assert {name: after.get(name) for name in left if not name.endswith(".part")}.items() <= left.items()
        assert after.keys() == {"as-of.json", "SHA256SUMS", "manifest.json", *(f"{kind}.csv" for kind in KINDS)}
        manifest = check(site, due)
        assert {each["kind"]: each["since"] for each in manifest["files"]} == cursors
        cursors = {each["kind"]: each["cursor"] for each in manifest["files"]}
        assert run["result"]["journal.csv"].replace("written", "would be written") == dry["result"]["journal.csv"]
        _head, *lines = after["invoices.csv"].decode().splitlines()
        held |= {line.partition(",")[0]: line for line in lines}
    query = {"format": "csv", "as_of": cursors["invoices"]}
    whole = site.api.client.get("/v1/exports/invoices", params=query).text.splitlines()
    assert sorted(held.values()) == sorted(whole[1:])
    last = site.files()
    assert "has what changed until then" in str(site.export(FIRST - timedelta(minutes=1))["problems"])
    assert site.files() == last
