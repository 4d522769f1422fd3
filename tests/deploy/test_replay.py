"""`meterline replay`: what was rejected and can count by now is sent again, and counts once however often that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from meterline_deploy.replay.asked import read_reasons
from meterline_schemas.catalog import Metric
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.reject import KEPT_BYTES, Reason
from meterline_schemas.replaying import DEFAULT_REASONS, EventKey, Skipped, weigh
from meterline_schemas.settings import ClickHouseSettings
from tests.deploy.running import asked, meterline
from tests.support import cluster
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

NOW = datetime.now(UTC)
METRICS = {
    "sms": Metric(key="sms"),
    "balance": Metric(key="balance", allow_negative=True),
    "own": Metric(key="own", tenant_id="acme"),
}


def event(id: str, **more: object) -> bytes:
    fields = {
        "id": id,
        "tenant_id": f"tenant-{len(id) % 5}",
        "metric": "sms",
        "quantity": "1.5",
        "timestamp": (NOW - timedelta(minutes=1)).isoformat(),
    }
    return json.dumps({**fields, **more}).encode()


# without any server


def test_lines_that_will_be_rejected_again_are_known_before() -> None:
    assert weigh(event("1", metric="fax"), METRICS) is Skipped.STILL_UNKNOWN
    assert weigh(event("1", metric="own"), METRICS) is Skipped.STILL_UNKNOWN
    assert weigh(event("1", quantity=-1), METRICS) is Skipped.STILL_OUT_OF_RANGE
    assert weigh(event("1", quantity="1e18"), METRICS) is Skipped.STILL_OUT_OF_RANGE
    assert weigh(b"{", METRICS) is Skipped.NO_EVENT
    assert weigh(event("1", timestamp="0001-01-01T00:00:00+23:59"), METRICS) is Skipped.NO_EVENT
    assert weigh(event("1", tenant_id="new"), METRICS, {"acme"}) is Skipped.TENANT_STILL_UNKNOWN
    assert isinstance(weigh(event("1", tenant_id="acme"), METRICS, {"acme"}), EventKey)
    assert isinstance(weigh(event("1", metric="own", tenant_id="acme"), METRICS), EventKey)
    assert isinstance(weigh(event("1", metric="balance", quantity=-1), METRICS), EventKey)


def test_an_event_is_told_from_others_by_its_milliseconds() -> None:
    found = weigh(event("1", timestamp="2026-11-21T05:00:00.1239+01:00", tenant_id="t"), METRICS)
    assert found == EventKey("t", "sms", datetime(2026, 11, 21, 4, 0, 0, 123_000, tzinfo=UTC), "1")


def test_reasons_that_judging_again_cannot_change_are_refused_with_why() -> None:
    assert read_reasons([]) == DEFAULT_REASONS
    assert read_reasons(["TOO_OLD", "quantity_out_of_range"]) == (Reason.TOO_OLD, Reason.QUANTITY_OUT_OF_RANGE)
    for name, why in (
        ("duplicate", "counted already"),
        ("invalid_json", "the line itself is wrong"),
        ("invalid_event", "the line itself is wrong"),
        (
            "nonsense",
            "is not known; choose of quantity_out_of_range, unknown_metric, unknown_tenant, too_old, in_future",
        ),
    ):
        with pytest.raises(ConfigurationError, match=why):
            read_reasons([name])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--reason", "duplicate"],
        ["--from", "yesterday"],
        ["--from", "2026-11-02", "--to", "2026-11-01"],
        ["--limit", "0"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_told_and_exit_with_2(arguments: list[str]) -> None:
    done = asked("replay", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# with everything


class Installation(Pipeline):
    """A stream worker and a sink; events go in by hand, and commands see what a user's see."""

    folder: Path

    def command(self, *words: str, code: int = 0) -> CompletedProcess[str]:
        done = meterline(*words, folder=self.folder, more=self.environment("command", {}))
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def replay(self, *options: str) -> str:
        """The line that sums it up."""
        return next(line for line in self.command("replay", *options).stdout.splitlines() if "lines found" in line)

    def put(self, *lines: bytes) -> None:
        """Each line as a record on the home of its tenant, judged when this returns."""
        records = [(self.home(json.loads(line)["tenant_id"]), line) for line in lines]
        cluster.produce(self.bootstrap, self.prefix + "usage.events", records)
        self.drain()

    def rejected(self) -> dict[str, int]:
        rows = self.query("SELECT reason, count() AS n FROM {db}.rejected_events FINAL GROUP BY reason")
        return {row["reason"]: row["n"] for row in rows}

    def counted(self, metric: str = "sms") -> tuple[int, str]:
        """How many events and how much, as analysts see it."""
        sql = f"SELECT sum(count) AS n, toString(sum(sum)) AS s FROM {{db}}.usage_hourly WHERE metric = '{metric}'"
        (row,) = self.query(sql)
        return int(row["n"]), row["s"]

    def raw(self) -> list[dict[str, Any]]:
        return self.query("SELECT id FROM {db}.usage_events ORDER BY id")

    def copies(self, id: str) -> int:
        """How often the stream accepted an event."""
        topic = self.prefix + "usage.accepted"
        lines = [line for message in cluster.read_all(self.bootstrap, topic) for line in message.value().split(b"\n")]
        return sum(json.loads(line).get("id") == id for line in lines)


@pytest.fixture
def installation(kafka: str, prefix: str, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[Installation]:
    with Installation(kafka, prefix, tmp_path, clickhouse, partitions=2) as running:
        running.folder = tmp_path
        running.start("stream")
        running.start("sink", "meterline_sinks")
        yield running


@pytest.fixture
def refusing(kafka: str, prefix: str, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[Installation]:
    settings = {"METERLINE_UNKNOWN_TENANT": "reject", "METERLINE_CATALOG_SECONDS": "3600"}
    with Installation(kafka, prefix, tmp_path, clickhouse, 2, **settings) as running:
        running.folder = tmp_path
        running.start("stream")
        running.start("sink", "meterline_sinks")
        yield running


def pass_horizon() -> None:
    end = datetime.now(UTC) + timedelta(seconds=3)
    wait_until(lambda: datetime.now(UTC) > end, 10, "a horizon of one second passed")


def define(installation: Installation, text: str) -> None:
    file = installation.folder / "catalog.yaml"
    file.write_text(text)
    installation.command("catalog", "apply", str(file))


def test_events_of_a_metric_that_is_defined_later_count_once_however_often_they_are_replayed(
    installation: Installation,
) -> None:
    long = event("long", properties={"note": "x" * KEPT_BYTES})
    spread = event("spread").replace(b", ", b",\n")
    ordinary = [event(f"{number:0{number + 1}}") for number in range(20)]
    installation.put(
        *ordinary, long, spread, ordinary[0], event("fax", metric="fax"), event("known", metric="api_calls")
    )
    installation.wait_for_sink()
    assert installation.rejected() == {"unknown_metric": 24}

    assert installation.replay() == "23 lines found: 0 replayed, 23 skipped"
    assert "not defined: fax, sms" in installation.command("replay").stderr
    define(installation, "metrics: [{key: sms}]")
    assert installation.replay("--dry-run") == "23 lines found: 22 to replay (--dry-run), 1 skipped"
    assert installation.replay("--metric", "fax") == "1 lines found: 0 replayed, 1 skipped"
    assert installation.replay("--tenant", "nobody") == "0 lines found: 0 replayed, 0 skipped"
    assert installation.replay("--to", "2020-01-01") == "0 lines found: 0 replayed, 0 skipped"

    # while nobody writes to ClickHouse, it cannot say what was replayed already
    installation.kill("sink")
    assert installation.replay("--limit", "5") == "23 lines found: 5 replayed, 1 skipped, 17 left for later"
    assert installation.replay() == "23 lines found: 22 replayed, 1 skipped"
    assert installation.replay() == "23 lines found: 22 replayed, 1 skipped"
    installation.drain()
    installation.start("sink", "meterline_sinks")
    installation.wait_for_sink()
    assert installation.counted() == (22, "33")
    assert len(installation.raw()) == 23
    assert installation.copies("long") == installation.copies("spread") == 1

    again = installation.command("replay").stdout.splitlines()
    assert again == [
        "23 lines found: 0 replayed, 23 skipped",
        "  22 skipped: counted already",
        "  1 skipped: the metric is still not defined for the tenant",
    ]
    assert installation.command("reconcile").stdout.splitlines()[-1].startswith("exact:")


def test_events_of_a_tenant_that_is_defined_later_count_once_however_often_they_are_replayed(
    refusing: Installation,
) -> None:
    define(refusing, "metrics: [{key: sms}]\ntenants: [{id: known}]")
    new = [event(f"new-{number}", tenant_id=f"new-{number % 2}") for number in range(10)]
    refusing.put(event("at once", tenant_id="known"), *new, new[0], event("typo", tenant_id="knwon"))
    refusing.wait_for_sink()
    assert refusing.rejected() == {"unknown_tenant": 12}
    assert refusing.counted() == (1, "1.5")

    refused = refusing.command("replay")
    assert refused.stdout.splitlines() == [
        "11 lines found: 0 replayed, 11 skipped",
        "  11 skipped: the tenant is still not defined",
    ]
    assert "tenants not defined: knwon, new-0, new-1; define them" in refused.stderr

    define(refusing, "tenants: [{id: new-0}, {id: new-1}]")
    assert refusing.replay("--dry-run") == "11 lines found: 10 to replay (--dry-run), 1 skipped"
    refusing.kill("sink")  # while nobody writes to ClickHouse, it cannot say what was replayed already
    for _copy in range(2):
        assert refusing.replay("--reason", "unknown_tenant") == "11 lines found: 10 replayed, 1 skipped"
    refusing.put(event("after", tenant_id="new-0"))
    refusing.start("sink", "meterline_sinks")
    refusing.wait_for_sink()
    assert refusing.counted() == (12, "18")
    assert [row["id"] for row in refusing.raw()] == sorted(["after", "at once", *(f"new-{n}" for n in range(10))])
    assert refusing.rejected() == {"unknown_tenant": 12, "duplicate": 10}
    again = refusing.command("replay").stdout.splitlines()
    assert sorted(again[1:]) == ["  1 skipped: the tenant is still not defined", "  10 skipped: counted already"]
    assert refusing.command("reconcile").stdout.splitlines()[-1].startswith("exact:")


def test_events_that_were_too_old_count_once_even_after_the_index_has_forgotten_them(
    installation: Installation,
) -> None:
    define(installation, "metrics: [{key: sms}]")
    old = [event(f"old-{n}", timestamp=(NOW - timedelta(days=40, hours=n)).isoformat()) for n in range(3)]
    ancient = event("ancient", timestamp="1066-10-14T09:00:00Z")
    installation.put(*old, ancient)
    installation.wait_for_sink()
    assert installation.rejected() == {"too_old": 4}
    installation.kill("stream")
    installation.start("stream", METERLINE_ACCEPT_PAST="P60D", METERLINE_ACCEPT_FUTURE="PT0S", METERLINE_HORIZON="PT1S")
    installation.kill("sink")
    for copy in (1, 2):
        pass_horizon()
        assert installation.replay("--reason", "too_old") == "4 lines found: 4 replayed, 0 skipped"
        installation.drain()
        assert installation.copies("old-0") == copy, "the index has forgotten it: the table's key must tell"
    installation.start("sink", "meterline_sinks")
    installation.wait_for_sink()
    assert installation.counted() == (3, "4.5")
    assert installation.replay() == "4 lines found: 1 replayed, 3 skipped"


def test_a_long_line_that_kafka_no_longer_has_is_said_to_be_lost(installation: Installation) -> None:
    long = event("long", properties={"note": "x" * KEPT_BYTES})
    installation.put(long, event("short"))
    installation.wait_for_sink()
    define(installation, "metrics: [{key: sms}]")
    topic = installation.prefix + "usage.events"
    ends = [TopicPartition(topic, *end) for end in cluster.ends(installation.bootstrap, topic).items()]
    for done in cluster.admin(installation.bootstrap).delete_records(ends).values():
        done.result(30)
    done = installation.command("replay")
    assert done.stdout.splitlines()[0] == "2 lines found: 1 replayed, 1 skipped"
    home = installation.home(json.loads(long)["tenant_id"])
    assert f"usage.events[{home}] offset 0 line 0: longer than the 64 KB that are kept" in done.stderr


@pytest.mark.long
def test_negative_quantities_are_replayed_once_the_metric_takes_them(installation: Installation) -> None:
    define(installation, "metrics: [{key: balance}]")
    installation.put(
        event("refund", metric="balance", quantity="-2.25"), event("huge", metric="balance", quantity="1e18")
    )
    installation.wait_for_sink()
    assert installation.rejected() == {"quantity_out_of_range": 2}
    assert installation.replay() == "0 lines found: 0 replayed, 0 skipped"
    reason = ("--reason", "quantity_out_of_range")
    assert installation.replay(*reason) == "2 lines found: 0 replayed, 2 skipped"
    define(installation, "metrics: [{key: balance, allow_negative: true}]")

    def counted() -> bool:
        assert installation.replay(*reason).startswith("2 lines found: ")
        installation.drain()
        installation.wait_for_sink()
        return installation.counted("balance") == (1, "-2.25")

    wait_until(counted, 60, "the stream took the changed metric over")


def test_a_kafka_that_does_not_answer_is_said(clickhouse: ClickHouseSettings, tmp_path: Path) -> None:
    more = {
        "METERLINE_KAFKA": "127.0.0.1:9",
        "METERLINE_CLICKHOUSE_URL": clickhouse.url,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
    }
    done = meterline("replay", folder=tmp_path, more=more)
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
