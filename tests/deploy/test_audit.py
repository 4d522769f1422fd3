"""``meterline audit``: what is whole is told so, and each way to tamper with either copy is named."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from meterline_deploy.audit.verdict import Head, Verdict
from meterline_deploy.audit.verify import verify
from meterline_deploy.audit_text import changes
from meterline_deploy.reconcile.warehouse import Warehouse
from meterline_schemas import topics
from meterline_schemas.audit.entry import AuditEntry, Author, Draft, decode
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.rows import UnreadableError, audit_row
from tests.deploy.running import asked, meterline
from tests.support import cluster


class Silent:
    def start(self, what: str, total: int) -> None: ...

    def advance(self, step: int) -> None: ...


@dataclass
class Installed:
    """A topic of its own for each test, and one table that they share, one after the other."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    tables: ClickHouse
    written: list[AuditEntry] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return self.kafka.topic(topics.AUDIT)

    def write(self, count: int) -> None:
        """Entries, kept in ClickHouse as the sink keeps them."""
        with closing(AuditLog(self.kafka)) as log:
            for _ in range(count):
                number = len(self.written) + 1
                draft = Draft(
                    author=Author("key:k1", "203.0.113.7"),
                    action="quota.updated",
                    resource_type="quota",
                    resource_id=f"orders/ü'\\\n{number}",
                    after={"included": str(number)},
                )
                self.written += log.append(draft)
        self.keep()

    def records(self) -> list[Record]:
        with closing(KafkaLog(self.kafka.client(), self.topic, 0)) as log:
            return list(log.read_to_end())

    def keep(self) -> None:
        for record in self.records():
            try:
                self.tables.insert(*audit_row(record.offset, record.value or b""))
            except UnreadableError:
                continue

    def produce(self, *values: bytes) -> None:
        cluster.produce(self.kafka.kafka, self.topic, [(0, value) for value in values])

    def command(self, sql: str) -> None:
        self.tables.command(sql)

    def look(self, *heads: Head, wait: float = 0) -> Verdict:
        with closing(Warehouse(self.clickhouse)) as tables:
            return verify(self.kafka, tables, heads, wait, Verdict(), Silent())

    def named(self, *heads: Head) -> list[tuple[str, str, int]]:
        verdict = self.look(*heads)
        assert verdict.valid == (not verdict.problems)
        assert verdict.closing().startswith("valid:" if verdict.valid else "BROKEN:")
        return [(each.where, each.kind, each.seq) for each in verdict.problems]


@pytest.fixture(scope="module")
def tables(module_database: ClickHouseSettings) -> Iterator[tuple[ClickHouseSettings, ClickHouse]]:
    edge = ClickHouse(module_database, module_database.database)
    yield module_database, edge
    edge.close()


def made(kafka: str, prefix: str, tables: tuple[ClickHouseSettings, ClickHouse]) -> Installed:
    for each in cluster.admin(kafka).create_topics([NewTopic(prefix + topics.AUDIT, 1, 1)]).values():
        each.result(30)
    tables[1].command("TRUNCATE TABLE audit_log")
    return Installed(KafkaSettings(kafka=kafka, topic_prefix=prefix), *tables)


@pytest.fixture
def installed(kafka: str, prefix: str, tables: tuple[ClickHouseSettings, ClickHouse]) -> Installed:
    return made(kafka, prefix, tables)


def alter(installed: Installed, change: str) -> None:
    installed.command(f"ALTER TABLE audit_log {change} SETTINGS mutations_sync = 2")


def test_what_is_whole_is_valid_and_its_head_can_be_written_down(installed: Installed) -> None:
    assert installed.look().closing() == "valid: nothing has been written yet"
    installed.write(3)
    first = installed.look()
    assert (first.valid, first.entries, first.seq, first.hash) == (True, 3, 3, installed.written[-1].hash)
    installed.write(2)
    assert installed.named(Head(first.seq, first.hash), Head(5, installed.written[-1].hash)) == []


def test_rows_that_were_written_twice_are_no_difference(installed: Installed) -> None:
    installed.write(3)
    installed.keep()
    assert installed.look().valid


def test_an_edit_in_clickhouse_is_named_with_the_field(installed: Installed) -> None:
    installed.write(3)
    for name in AuditEntry.__struct_fields__:
        if name == "seq":
            continue  # part of the key: no update can reach it
        alter(installed, f"UPDATE {name} = {'addHours(at, 1)' if name == 'at' else repr('x')} WHERE seq = 2")
        verdict = installed.look()
        assert [(each.where, each.kind, each.seq) for each in verdict.problems] == [("clickhouse", "edited", 2)]
        assert verdict.problems[0].detail.endswith(f": {name}")
        installed.command("TRUNCATE TABLE audit_log")
        installed.keep()
    assert installed.look().valid, "written again from Kafka, it is whole again"


def test_a_row_that_is_gone_from_clickhouse_is_named(installed: Installed) -> None:
    installed.write(3)
    alter(installed, "DELETE WHERE seq IN (1, 3)")
    assert installed.named() == [("clickhouse", "removed", 1), ("clickhouse", "removed", 3)]


def test_a_row_that_was_put_into_clickhouse_is_named(installed: Installed) -> None:
    installed.write(3)
    columns = "id, at, actor, origin, request_id, action, resource_type, resource_id, tenant_id, before, after, details"
    for seq, offset in ((2, "kafka_offset + 1"), (4, "kafka_offset + 1000"), (7, "kafka_offset"), (2, "-5")):
        installed.command(
            f"INSERT INTO audit_log (seq, {columns}, previous, hash, kafka_offset) "
            f"SELECT {seq}, {columns}, previous, hash, {offset} FROM audit_log WHERE seq = 2"
        )
        assert installed.named() == [("clickhouse", "inserted", seq)]
        installed.command("TRUNCATE TABLE audit_log")
        installed.keep()


def test_two_rows_that_changed_places_in_clickhouse_are_named(installed: Installed) -> None:
    installed.write(3)
    ids = installed.tables.rows("SELECT id FROM audit_log FINAL ORDER BY seq")
    alter(installed, f"UPDATE id = if(seq = 1, '{ids[1][0]}', '{ids[0][0]}') WHERE seq IN (1, 2)")
    assert installed.named() == [("clickhouse", "edited", 1), ("clickhouse", "edited", 2)]


def forged(entry: AuditEntry, **more: Any) -> bytes:
    changed = msgspec.structs.replace(entry, **more)
    return msgspec.structs.replace(changed, hash=changed.computed_hash()).encode()


def test_a_forged_record_in_kafka_is_named_and_does_not_stop_those_after_it(installed: Installed) -> None:
    installed.write(3)
    installed.produce(forged(installed.written[1], actor="root"), b"no entry", forged(installed.written[0]))
    installed.keep()
    wanted = [("kafka", "misplaced", 2), ("kafka", "unreadable", 0), ("kafka", "misplaced", 1)]
    assert installed.named() == wanted
    installed.write(2)
    assert installed.named() == wanted


def test_the_beginning_that_was_cut_off_in_kafka_is_named(installed: Installed) -> None:
    installed.write(4)
    place = TopicPartition(installed.topic, 0, installed.records()[2].offset)
    for done in cluster.admin(installed.kafka.kafka).delete_records([place]).values():
        done.result(30)
    found = installed.named()
    assert found[:2] == [("clickhouse", "inserted", 1), ("clickhouse", "inserted", 2)]
    assert ("kafka", "removed", 3) in found


def rewritten(installed: Installed, values: Sequence[bytes]) -> Installed:
    """The same installation after somebody wrote the whole topic anew, and ClickHouse to match it."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    other = made(installed.kafka.kafka, prefix, (installed.clickhouse, installed.tables))
    other.produce(*values)
    other.keep()
    return other


def test_a_topic_that_was_written_anew_is_named_wherever_it_differs(installed: Installed) -> None:
    installed.write(4)
    one, two, three, four = (entry.encode() for entry in installed.written)
    edited = msgspec.structs.replace(installed.written[1], actor="root").encode()
    assert rewritten(installed, [one, two, three, four]).named() == []
    assert rewritten(installed, [one, edited, three, four]).named() == [("kafka", "edited", 2)]
    assert rewritten(installed, [one, three, four]).named() == [("kafka", "removed", 3)]
    moved = rewritten(installed, [one, three, two, four]).named()
    assert moved == [("kafka", "removed", 3), ("kafka", "misplaced", 2)]


def test_what_was_made_to_fit_in_both_copies_is_found_out_by_a_head_that_was_written_down(
    installed: Installed,
) -> None:
    installed.write(4)
    kept = [Head(entry.seq, entry.hash) for entry in installed.written]
    chain = [installed.written[0].encode()]
    for entry in installed.written[1:]:
        chain.append(forged(entry, actor="root", previous=decode(chain[-1]).hash))
    other = rewritten(installed, chain)
    assert other.named() == []
    assert other.named(kept[0]) == []
    assert other.named(kept[3]) == [("head", "edited", 4)]
    shorter = rewritten(installed, [entry.encode() for entry in installed.written[:2]])
    assert shorter.named() == []
    assert shorter.named(kept[1], kept[3]) == [("head", "removed", 4)]


def test_what_clickhouse_does_not_have_yet_is_waited_for(installed: Installed) -> None:
    installed.write(2)
    installed.command("TRUNCATE TABLE audit_log")
    assert not installed.look().valid

    class Late(Warehouse):
        def rows(self, sql: str) -> Sequence[Sequence[Any]]:
            found = super().rows(sql)
            if "LIMIT 1" in sql and "SELECT 1" in sql and not found:
                installed.keep()
            return found

    with closing(Late(installed.clickhouse)) as tables:
        assert verify(installed.kafka, tables, (), 30, Verdict(), Silent()).valid


def test_the_command_prints_the_verdict_and_exits_with_it(installed: Installed, tmp_path: Path) -> None:
    installed.write(2)
    more = {
        "METERLINE_KAFKA": installed.kafka.kafka,
        "METERLINE_TOPIC_PREFIX": installed.kafka.topic_prefix,
        "METERLINE_CLICKHOUSE_URL": installed.clickhouse.url,
        "METERLINE_CLICKHOUSE_USER": installed.clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": installed.clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": installed.clickhouse.database,
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = meterline("audit", "verify", *words, folder=tmp_path, more=more)
        assert "Traceback" not in done.stderr
        return done

    head = f"2:{installed.written[-1].hash}"
    done = run("--head", head)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [f"head: {head}", "valid: 2 entries, one chain, the same in Kafka and ClickHouse"],
    )
    alter(installed, "UPDATE actor = 'root' WHERE seq = 1")
    done = run("--wait", "0", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["valid"], found["count"]) == (1, False, 1)
    assert found["problems"][0]["detail"] == "not as Kafka has it: actor"


@pytest.mark.parametrize("text", ["", "5", "5:", "x:" + "0" * 64, "5:" + "g" * 64, "5:" + "0" * 63, "9" * 5000 + ":"])
def test_a_head_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SEQ:HASH"):
        Head.parse(text)


def test_wrong_options_are_told() -> None:
    assert asked("audit", "verify", "--head", "5").returncode == 2
    assert asked("audit", "list", "--from", "yesterday").returncode == 2


def test_what_changed_is_told_on_one_line() -> None:
    entry = {
        "before": {"a": "1", "b": [], "version": 1},
        "after": {"a": "2", "b": ["x"], "version": 2},
        "details": None,
    }
    assert changes(entry) == 'a 1 → 2, b [] → ["x"]'
    assert changes({"before": None, "after": {"a": "1"}, "details": {"rows": 3}}) == '{"rows": 3}'
