"""``meterline tenant erase`` with a real sink: names are gone, every number stays, and reconcile still proves them.

The tests run in their order, on one installation.
"""

from __future__ import annotations

import io
import json
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from meterline_deploy.erase.run import Eraser
from meterline_deploy.erase.statements import REMOVED
from meterline_deploy.reconcile.erasures import erasures_of
from meterline_deploy.reconcile.report import Report
from meterline_deploy.reconcile.run import Asked, reconcile
from meterline_schemas.audit.log import AuditLog
from meterline_sinks.migrate import migrate
from tests.deploy.ledger import PARTITIONS, Ledger
from tests.deploy.running import Said, asked
from tests.services.clickhouse import ClickHouseServer, execute
from tests.sinks.harness import Feed, Sinks
from tests.support import cluster
from tests.support.streams import wait_until

TENANT, OTHER = "tenant-0-0", "tenant-0-1"
SUBJECT = "naïve 名"
NUMBERS = (
    "SELECT * FROM usage_hourly ORDER BY ALL",
    "SELECT * EXCEPT (inserted_at) FROM usage_totals FINAL ORDER BY ALL",
    "SELECT * EXCEPT (inserted_at) FROM usage_late_totals FINAL ORDER BY ALL",
    "SELECT tenant_id, metric, uniqExact(subject), uniqExact(properties['tier']), uniqExact(properties), sum(quantity) "
    "FROM usage_events GROUP BY ALL ORDER BY ALL",
    "SELECT id, timestamp, quantity, source, mapKeys(properties), subject = '', late, kafka_offset "
    "FROM usage_events_raw FINAL ORDER BY ALL",
    "SELECT * EXCEPT (raw, detail, inserted_at) FROM rejected_events FINAL ORDER BY ALL",
    f"SELECT * EXCEPT (inserted_at) FROM usage_events_raw FINAL WHERE tenant_id != '{TENANT}' ORDER BY ALL",
)


class Silent:
    def start(self, what: str, total: int) -> None: ...

    def advance(self, step: int) -> None: ...


@dataclass
class Installed:
    ledger: Ledger
    folder: Path

    def run(self, *words: str, answer: str = "") -> Said:
        settings = self.ledger.clickhouse
        more = {
            "METERLINE_DATA": str(self.folder),
            "METERLINE_KAFKA": self.ledger.kafka.kafka,
            "METERLINE_TOPIC_PREFIX": self.ledger.kafka.topic_prefix,
            "METERLINE_CLICKHOUSE_URL": settings.url,
            "METERLINE_CLICKHOUSE_USER": settings.user,
            "METERLINE_CLICKHOUSE_PASSWORD": settings.password.get_secret_value(),
            "METERLINE_CLICKHOUSE_DATABASE": settings.database,
        }
        with patch.dict(os.environ, more), patch.object(sys, "stdin", io.StringIO(answer)):
            return asked(*words)

    def judged(self) -> None:
        """The stream's group has everything of usage.events, as it would once it judged that."""
        name = self.ledger.kafka.topic("usage.events")
        member = Consumer({**self.ledger.kafka.client(), "group.id": self.ledger.kafka.topic("meterline-streams")})
        ends = [TopicPartition(name, number, self.ledger.end("usage.events", number)) for number in range(PARTITIONS)]
        member.commit(offsets=ends, asynchronous=False)
        member.close()

    def numbers(self) -> list[Any]:
        return [self.ledger.rows(sql) for sql in NUMBERS]

    def subjects(self, where: str = "1") -> set[str]:
        rows = self.ledger.rows(
            f"SELECT DISTINCT subject FROM usage_events_raw WHERE tenant_id = '{TENANT}' AND subject != '' AND {where}"
        )
        return {str(row[0]) for row in rows}

    def reconciled(self) -> Report:
        return reconcile(self.ledger.kafka, self.ledger.clickhouse, Asked(wait=20), Silent())


def told(number: int, tenant: str, subject: str) -> dict[str, Any]:
    return {
        "id": f"ntf_{number}",
        "type": "threshold.exceeded",
        "occurred_at": "2026-11-01T00:00:00Z",
        "tenant_id": tenant,
        "subject": subject,
        "data": json.dumps(
            {"threshold_id": "t", "subject": subject, "usage": "5"}, ensure_ascii=False, separators=(",", ":")
        ),
        "kafka_partition": 0,
        "kafka_offset": number,
    }


@pytest.fixture(scope="module")
def installed(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    name = uuid.uuid4().hex[:8]
    settings, prefix, folder = (
        clickhouse_server.settings(f"erased{name}"),
        f"erased-{name}.",
        tmp_path_factory.mktemp("e"),
    )
    migrate(settings, cluster="")
    ledger = Ledger(kafka, prefix, settings)
    more = {"meterline.notifications": PARTITIONS, "meterline.config": 1, "meterline.audit": 1}
    for made in (
        cluster.admin(kafka).create_topics([NewTopic(prefix + topic, n, 1) for topic, n in more.items()]).values()
    ):
        made.result(30)
    ledger.fill()
    ledger.judge(
        0,
        [
            (
                b'{"more": 1}\n{"more": 2}\n{"more": 3}',
                [{**ledger.event(TENANT), "subject": f"user:{n}"} for n in (1, 2, 1)],
            )
        ],
    )
    ledger.insert("notifications", [told(1, TENANT, 'user:"1"'), told(2, TENANT, ""), told(3, OTHER, "user:1")])
    sinks = Sinks(cast(Feed, SimpleNamespace(bootstrap=kafka, prefix=prefix)), settings, folder)
    try:
        sinks.start("sink")
        made_up = Installed(ledger, folder)
        made_up.judged()
        yield made_up
    finally:
        sinks.close()
        ledger.close()
        execute(settings, f"DROP DATABASE {settings.database} SYNC")


def test_a_dry_run_says_what_there_is_and_erases_nothing(installed: Installed) -> None:
    done = installed.run("tenant", "erase", TENANT, "--dry-run")
    assert done.returncode == 0, done.stderr
    ((events, subjects),) = installed.ledger.rows(
        f"SELECT count(), uniqExactIf(subject, subject != '') FROM usage_events_raw FINAL WHERE tenant_id = '{TENANT}'"
    )
    assert f"{events} events of {subjects} subjects, 32 rejected lines, 1 notifications" in done.stdout
    assert installed.subjects() == {SUBJECT, "user:1", "user:2"}
    assert AuditLog(installed.ledger.kafka).head() is None


def test_it_asks_first(installed: Installed) -> None:
    assert installed.run("tenant", "erase", TENANT, answer="n\n").returncode == 1
    assert installed.subjects() == {SUBJECT, "user:1", "user:2"}


def test_a_tenant_of_whom_there_is_nothing_is_told(installed: Installed) -> None:
    done = installed.run("tenant", "erase", "o'hara", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is it spelled right?" in done.stderr


def test_while_something_is_not_judged_yet_nothing_is_erased(installed: Installed) -> None:
    installed.ledger.judge(1, [(b'{"late": 1}', [installed.ledger.event(OTHER)])])
    done = installed.run("tenant", "erase", TENANT, "--yes", "--wait", "1")
    assert done.returncode == 1
    assert "not yet judged or written" in done.stderr
    assert SUBJECT in installed.subjects()
    installed.judged()


def test_names_are_gone_every_number_stays_and_reconcile_still_proves_them(installed: Installed) -> None:
    ledger = installed.ledger
    before = installed.numbers()
    done = installed.run("tenant", "erase", TENANT, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "erased: entry 2 of the audit log"
    assert "Kafka still has the text" in done.stderr
    assert installed.numbers() == before

    tokens = installed.subjects()
    assert len(tokens) == 3
    assert all(token.startswith("erased_") for token in tokens)
    assert ledger.rows(f"SELECT DISTINCT raw, detail FROM rejected_events WHERE tenant_id = '{TENANT}'") == [
        ("", REMOVED)
    ]
    rows = dict(ledger.rows("SELECT id, data FROM notifications FINAL"))
    data = json.loads(str(rows["ntf_1"]))
    assert data["subject"].startswith("erased_")
    assert (data["usage"], json.loads(str(rows["ntf_3"]))["subject"]) == ("5", "user:1")
    for table, columns in (
        ("usage_events_raw", "subject, toString(properties)"),
        ("rejected_events", "raw, detail"),
        ("notifications", "subject, data"),
    ):
        said = json.dumps(
            ledger.rows(f"SELECT {columns} FROM {table} WHERE tenant_id = '{TENANT}'"), ensure_ascii=False
        )
        assert [text for text in (SUBJECT, "user:", "quoted", '"eu"', "line") if text in said] == [], table
    assert ledger.rows("SELECT name FROM system.tables WHERE name LIKE 'erase_salt%'") == []

    report = installed.reconciled()
    assert report.exact, report.as_json()
    assert any(TENANT in note for check in report.checks for note in check.notes)


def test_it_is_in_the_audit_log_with_its_counts(installed: Installed) -> None:
    ledger = installed.ledger
    wait_until(lambda: ledger.rows("SELECT count() FROM audit_log FINAL") == [(2,)], 20, "the sink keeps both entries")
    done = installed.run("audit", "verify")
    assert done.returncode == 0, done.stdout
    (started, erased) = ledger.rows("SELECT action, tenant_id, actor, details FROM audit_log FINAL ORDER BY seq")
    assert (started[:2], erased[:2]) == (("tenant.erase.started", TENANT), ("tenant.erased", TENANT))
    assert str(erased[2]).startswith("cli:")
    assert json.loads(str(started[3]))["until"].keys() == {"0", "1"}
    assert json.loads(str(erased[3]))["subjects"] == 3


def test_what_is_changed_in_an_erased_row_shows_still(installed: Installed) -> None:
    ledger = installed.ledger
    row = f"tenant_id = '{TENANT}' AND subject != '' AND late = 0"
    ((id, source),) = ledger.rows(f"SELECT id, source FROM usage_events_raw FINAL WHERE {row} AND source != '' LIMIT 1")
    for column, value, back in (
        ("source", "'other'", f"'{source}'"),
        ("subject", "''", "'erased_x'"),
        ("properties", "map('region', 'x')", "map('region', 'erased_x', 'tier', 'erased_x')"),
    ):
        for change, exact in ((value, False), (back, True)):
            ledger.command(
                f"ALTER TABLE usage_events_raw UPDATE {column} = {change} WHERE id = '{id}' SETTINGS mutations_sync = 2"
            )
            assert installed.reconciled().exact == exact, (column, change)


def test_what_comes_later_is_as_it_came_until_it_is_erased_again(installed: Installed) -> None:
    ledger = installed.ledger
    ledger.judge(0, [(b'{"later": 1}', [{**ledger.event(TENANT), "subject": "user:9"}])])
    installed.judged()
    assert "user:9" in installed.subjects()
    assert installed.reconciled().exact
    done = installed.run("tenant", "erase", TENANT, "--yes")
    assert done.returncode == 0, done.stderr
    assert [subject for subject in installed.subjects() if not subject.startswith("erased_")] == []
    assert installed.reconciled().exact


def test_an_erasure_that_breaks_off_is_finished_by_the_next_and_its_salt_is_gone(installed: Installed) -> None:
    ledger, settings = installed.ledger, installed.ledger.clickhouse
    ledger.judge(0, [(b'{"last": 1}', [{**ledger.event(TENANT), "subject": "user:10"}])])
    installed.judged()
    counted = (
        f"SELECT metric, uniqExact(subject) FROM usage_events WHERE tenant_id = '{TENANT}' GROUP BY ALL ORDER BY ALL"
    )
    before = ledger.rows(counted)
    eraser = Eraser(ledger.kafka, settings, Silent())
    run = eraser._tables.command

    def interrupted(sql: str) -> None:
        run(sql.replace("mutations_sync = 2", "mutations_sync = 0"))
        if sql.startswith("ALTER"):
            raise KeyboardInterrupt

    ledger.command("SYSTEM STOP MERGES usage_events_raw")
    with patch.object(eraser._tables, "command", interrupted), pytest.raises(KeyboardInterrupt):
        eraser._change(TENANT, eraser.settled(20))
    ledger.command("SYSTEM START MERGES usage_events_raw")
    eraser.close()
    done = installed.run("tenant", "erase", TENANT, "--yes")
    assert done.returncode == 0, done.stderr
    assert [subject for subject in installed.subjects() if not subject.startswith("erased_")] == []
    assert ledger.rows(counted) == before
    assert ledger.rows("SELECT name FROM system.tables WHERE name LIKE 'erase_salt%'") == []
    assert ledger.rows("SELECT 1 FROM system.mutations WHERE NOT is_done AND command LIKE '%erase_salt%'") == []


def test_of_several_erasures_the_one_that_went_furthest_counts() -> None:
    rows = [("a", '{"until":{"0":5,"1":9}}'), ("b", '{"until":{"0":1}}'), ("a", '{"until":{"0":7,"2":1}}')]
    assert erasures_of(rows) == {"a": {0: 7, 1: 9, 2: 1}, "b": {0: 1}}


def test_no_check_is_looser_for_those_who_were_not_erased(installed: Installed) -> None:
    ledger = installed.ledger
    where = f"tenant_id = '{OTHER}' AND subject != ''"
    for change, exact in (("'other'", False), (f"'{SUBJECT}'", True)):
        ledger.command(
            f"ALTER TABLE usage_events_raw UPDATE subject = {change} WHERE {where} SETTINGS mutations_sync = 2"
        )
        assert installed.reconciled().exact == exact
