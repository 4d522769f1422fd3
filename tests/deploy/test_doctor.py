"""`meterline doctor`: what is wrong is found and comes with a fix. (All being well: ``test_up``.)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from meterline_deploy.cluster import Cluster
from meterline_deploy.commands.doctor import line
from meterline_deploy.doctor import (
    Finding,
    clock,
    examine_clickhouse,
    examine_group,
    examine_kafka,
    examine_part,
    without_effect,
)
from meterline_deploy.lag import GROUPS, GroupLag
from meterline_deploy.topics import ensure_topics
from meterline_schemas.catalog import Book, Metric, Quota, Threshold
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_schemas.topics import EVENTS, STATE
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import migrate
from tests.deploy.running import meterline
from tests.support import cluster as plain

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
EVENTS_0 = (EVENTS, 0)


@pytest.fixture
def installation(kafka: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(kafka=kafka, topic_prefix=prefix)


def wrong(findings: Iterator[Finding]) -> dict[str, Finding]:
    """What is wrong, by subject; each has a fix."""
    found = {finding.subject: finding for finding in findings if finding.level == "wrong"}
    assert all(finding.fix for finding in found.values())
    return found


def test_a_broker_that_does_not_answer_is_all_there_is_to_say_of_kafka() -> None:
    (finding,) = examine_kafka(KafkaSettings(kafka="127.0.0.1:9"))
    assert finding.level == "wrong"
    assert "127.0.0.1:9" in finding.found
    assert "METERLINE_KAFKA" in finding.fix


def test_missing_topics_are_named(installation: KafkaSettings) -> None:
    found = wrong(examine_kafka(installation))
    assert set(found) == {"topics"}
    assert installation.topic(EVENTS) in found["topics"].found
    assert "meterline setup" in found["topics"].fix


def test_without_workers_what_waits_is_counted(installation: KafkaSettings) -> None:
    ensure_topics(installation, 2)
    plain.produce(installation.kafka, installation.topic(EVENTS), [(0, b"{}"), (1, b"{}"), (1, b"{}")])
    findings = list(examine_kafka(installation))
    found = wrong(iter(findings))
    assert set(found) == {"stream lag", "sink lag", "notifier lag"}
    assert "no meterline_streams runs; 3 records wait" in found["stream lag"].found
    assert any(each.subject == "metrics" and each.level == "note" for each in findings)
    assert any(each.subject == "clock of Kafka" and each.level == "ok" for each in findings)


def test_a_setting_that_differs_and_another_partition_count_are_found(installation: KafkaSettings) -> None:
    ensure_topics(installation, 2)
    cluster = Cluster(installation)
    cluster.change(installation.topic(EVENTS), {"message.timestamp.type": "CreateTime"})
    from confluent_kafka.admin import NewPartitions

    state = installation.topic(STATE)
    plain.admin(installation.kafka).create_partitions([NewPartitions(state, 3)])[state].result(20)
    found = wrong(examine_kafka(installation))
    assert "message.timestamp.type is CreateTime, must be LogAppendTime" in found["topics"].found
    assert f"topic {state} has 3, 2 are written down" in found["partitions"].found


def test_asking_for_the_time_leaves_the_catalog_as_it_was(installation: KafkaSettings) -> None:
    from meterline_deploy.catalog import read_metrics
    from meterline_deploy.topics import written_down

    ensure_topics(installation, 1)
    list(examine_kafka(installation))
    assert read_metrics(installation) == {}
    assert written_down(installation) == 1


def test_limits_that_are_of_no_use_are_noted() -> None:
    book = Book()
    for entry in (
        *(Metric(key=key) for key in ("calls", "gone", "bare")),
        Quota(metric="calls", tenant_id="acme", included=Decimal(1)),
        Quota(metric="gone", included=Decimal(1)),
        Threshold(id="of-own-quotas", metric="calls"),
        Threshold(id="acme", metric="calls", tenant_id="acme"),
        Threshold(id="absolute", metric="bare", amount=Decimal(1)),
        Threshold(id="of-none", metric="bare"),
        Threshold(id="of-no-user", metric="calls", tenant_id="acme", subject="user:1"),
    ):
        book.apply(entry.record_key, entry.encode())
    assert {each.subject for each in without_effect(book)} == {"threshold of-none", "threshold of-no-user"}
    book.apply(b"metric/gone", None)
    found = {each.subject: each for each in without_effect(book)}
    assert set(found) == {"threshold of-none", "threshold of-no-user", "quota gone"}
    assert all(each.level == "note" and "meterline catalog delete" in each.fix for each in found.values())


def test_a_database_without_tables_or_with_old_ones_is_found(clickhouse: ClickHouseSettings) -> None:
    assert wrong(examine_clickhouse(clickhouse))["tables"].found == "the tables were never made"
    migrate(clickhouse, cluster="")
    assert wrong(examine_clickhouse(clickhouse)) == {}
    edge = ClickHouse(clickhouse, clickhouse.database)
    edge.command("ALTER TABLE schema_migrations DELETE WHERE number >= 6 SETTINGS mutations_sync = 2")
    edge.close()
    found = wrong(examine_clickhouse(clickhouse))
    assert "not applied: 0006_" in found["tables"].found


def test_a_wrong_password_or_address_of_clickhouse_is_found(clickhouse: ClickHouseSettings) -> None:
    for other in ({"url": "http://127.0.0.1:9"}, {"user": "nobody"}):
        found = wrong(examine_clickhouse(clickhouse.model_copy(update=other)))
        assert "METERLINE_CLICKHOUSE_URL, _USER and _PASSWORD" in found["clickhouse"].fix


def test_a_part_that_does_not_answer_is_found() -> None:
    assert examine_part("sinks", "http://127.0.0.1:9/health").level == "wrong"


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, "ok"), (4, "ok"), (-4, "ok"), (6, "wrong"), (-6, "wrong"), (86_400, "wrong")]
)
def test_clocks_that_disagree_by_more_than_five_seconds_are_wrong(seconds: int, level: str) -> None:
    finding = clock("Kafka", NOON, NOON + timedelta(seconds=seconds), NOON)
    assert finding.level == level
    if level == "wrong":
        assert ("ahead" if seconds > 0 else "behind") in finding.found


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    assert clock("Kafka", NOON, NOON + timedelta(seconds=20), NOON + timedelta(seconds=30)).level == "ok"


def test_a_group_that_lags_and_stands_still_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meterline_deploy.doctor.MOVE_SECONDS", 0.0)
    finding = examine_group(GROUPS[0], lambda: GroupLag(1, {EVENTS_0: 5}, {EVENTS_0: 9}))
    assert finding.level == "wrong"
    assert "usage.events[0] at 5" in finding.found


def test_a_group_that_lags_and_moves_is_well() -> None:
    looks = iter([GroupLag(1, {EVENTS_0: 5}, {EVENTS_0: 9}), GroupLag(1, {EVENTS_0: 6}, {EVENTS_0: 99})])
    finding = examine_group(GROUPS[0], lambda: next(looks), wait=lambda _seconds: None)
    assert finding == Finding("stream lag", "ok", "1 worker, 93 records wait, moving")


def test_a_group_that_caught_up_meanwhile_is_well() -> None:
    looks = iter([GroupLag(2, {}, {EVENTS_0: 9}), GroupLag(2, {EVENTS_0: 9}, {EVENTS_0: 9})])
    finding = examine_group(GROUPS[0], lambda: next(looks), wait=lambda _seconds: None)
    assert finding == Finding("stream lag", "ok", "2 workers, 0 records wait")


def test_offsets_of_groups_are_read_as_they_were_committed(installation: KafkaSettings) -> None:
    from confluent_kafka import Consumer

    ensure_topics(installation, 2)
    events = installation.topic(EVENTS)
    plain.produce(installation.kafka, events, [(0, b"a"), (0, b"b"), (1, b"c")])
    consumer = Consumer({"bootstrap.servers": installation.kafka, "group.id": installation.topic("g")})
    consumer.commit(offsets=[TopicPartition(events, 0, 1)], asynchronous=False)
    consumer.close()
    cluster = Cluster(installation)
    assert cluster.committed(installation.topic("g"), [events], 1) == {(events, 0): 1}
    assert cluster.ends(events, 2) == {0: 2, 1: 1}
    assert cluster.committed(installation.topic("nobody"), [events], 1) == {}
    assert cluster.members(installation.topic("nobody")) == 0


def test_the_command_exits_with_1_and_tells_each_fix(tmp_path: Path) -> None:
    away = {
        "METERLINE_KAFKA": "127.0.0.1:9",
        "METERLINE_CLICKHOUSE_URL": "http://127.0.0.1:9",
        "METERLINE_API_URL": "http://127.0.0.1:9",
    }
    done = meterline("doctor", folder=tmp_path, more=away)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "3 wrong"
    assert done.stdout.count("→") == 3
    assert done.stderr == ""


def test_a_finding_is_a_line_and_its_fix_another() -> None:
    assert line(Finding("a", "ok", "fine")) == "ok     a: fine"
    assert line(Finding("a", "wrong", "broken", "mend it")) == "wrong  a: broken\n       → mend it"
