"""An installation made by hand: topics and tables that agree to the last digit, for a test to plant a fault in.

No process of the pipeline runs: what the stream would write is written here, in transactions, from plain Python.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, getcontext
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from meterline_schemas.kafka_client import fence
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.support import cluster
from tests.support.late import insert_events

getcontext().prec = 60

TOPICS = ("usage.events", "usage.accepted", "usage.rejected", "usage.totals")
PARTITIONS = 2
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)

Row = dict[str, Any]


def text(moment: datetime) -> str:
    """As the stream writes times: whole seconds without a fraction."""
    return moment.isoformat().replace("+00:00", "Z")


@dataclass
class State:
    """One partition as the stream remembers it."""

    offset: int = 0
    lines: int = 0
    accepted: int = 0
    late: int = 0
    rejected: int = 0
    forwarded: int = 0
    hours: dict[tuple[str, str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))


class Ledger:
    """Two partitions of ``usage.events``, judged, and a database that is written from that; it has its tables."""

    def __init__(self, bootstrap: str, prefix: str, clickhouse: ClickHouseSettings) -> None:
        self.kafka = KafkaSettings(kafka=bootstrap, topic_prefix=prefix)
        self.clickhouse = clickhouse
        self._chance = random.Random(5)
        self._states = [State() for _ in range(PARTITIONS)]
        self._ids = 0
        stamped = {"message.timestamp.type": "LogAppendTime"}
        created = cluster.admin(bootstrap).create_topics(
            [NewTopic(prefix + name, PARTITIONS, 1, config=stamped) for name in TOPICS]
        )
        for each in created.values():
            each.result(30)
        self._tables = ClickHouse(clickhouse, clickhouse.database)
        self._apps = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "transactional.id": prefix + "ledger", "linger.ms": 5}
        )
        fence(self._producer, prefix + TOPICS[0], 30)
        self._waiting: dict[str, list[Row]] = defaultdict(list)
        self._filling = False
        self.held_back: set[str] = set()  # tables that are not written to
        self.lost: set[str] = set()
        self.raw: list[Row] = []
        self.totals: dict[tuple[str, str, str, int], Row] = {}

    # judging

    def judge(
        self,
        partition: int,
        records: Sequence[tuple[bytes, Sequence[Row | str]]],
        forwarded: int = 0,
        **headers: bytes,
    ) -> int:
        """One checkpoint: source records, each with the verdicts on its lines: a row, or a reason to reject it.

        The first ``forwarded`` lines of the first record have no verdict here. Returns the first record's offset.
        """
        state = self._states[partition]
        accepted: list[Row] = []
        rejected: list[Row] = []
        for number, (value, verdicts) in enumerate(records):
            self.produce(partition, value, **headers)
            skipped = forwarded if number == 0 else 0
            for line, verdict in enumerate(verdicts, start=skipped):
                place = {"kafka_partition": partition, "kafka_offset": state.offset, "kafka_line": line}
                if isinstance(verdict, str):
                    rejected.append(reject(verdict, place))
                else:
                    accepted.append({**verdict, **place, "received_at": text(START + timedelta(hours=5))})
            state.lines += len(verdicts) + skipped
            state.forwarded += skipped
            state.offset += 1
        state.accepted += len(accepted)
        state.late += sum(row.get("late", 0) for row in accepted)
        state.rejected += len(rejected)
        changed = set()
        for row in accepted:
            if not row.get("late"):
                key = (row["tenant_id"], row["metric"], row["timestamp"][:13] + ":00:00Z")
                state.hours[key].append(row)
                changed.add(key)
        totals = [total(key, partition, state.offset, state.hours[key]) for key in sorted(changed)]
        self.raw += accepted
        for each in totals:
            self.totals[each["tenant_id"], each["metric"], each["hour"], partition] = each
        self.commit(partition, accepted, rejected, totals)
        return state.offset - len(records)

    def commit(self, partition: int, accepted: list[Row], rejected: list[Row], totals: list[Row]) -> None:
        """Write a checkpoint to the topics and, but for ids in ``lost``, to the tables."""
        progress = self._progress(partition)
        self._producer.begin_transaction()
        for name, rows in (("usage.accepted", accepted), ("usage.rejected", rejected)):
            for start in range(0, len(rows), 20):
                self._produce(name, partition, None, ndjson(rows[start : start + 20]))
        for each in totals:
            key = json.dumps([each["tenant_id"], each["metric"], each["hour"]]).encode()
            self._produce("usage.totals", partition, key, json.dumps(each).encode())
        for name in TOPICS[1:]:
            self._produce(name, partition, b"progress", json.dumps(progress).encode())
        self._producer.commit_transaction(30)
        self._waiting["usage_events_raw"] += [row for row in accepted if row["id"] not in self.lost]
        self._waiting["rejected_events"] += rejected
        self._waiting["usage_totals"] += totals
        self._waiting["usage_progress"] += [{"topic": name, **progress} for name in TOPICS[1:]]
        if not self._filling:
            self._insert_waiting()

    def _insert_waiting(self) -> None:
        for table, rows in self._waiting.items():
            if table not in self.held_back:
                self.insert(table, rows)
            rows.clear()

    def _progress(self, partition: int) -> Row:
        state = self._states[partition]
        return {
            "kafka_partition": partition,
            "next_offset": state.offset,
            "received_until": text(datetime.now(UTC)),
            "latest_timestamp": text(START),
            **{name: getattr(state, name) for name in ("lines", "accepted", "late", "rejected", "forwarded")},
        }

    def progress_rows(self) -> list[Row]:
        """What usage_progress holds once everything is written."""
        return [{"topic": name, **self._progress(p)} for name in TOPICS[1:] for p in range(PARTITIONS)]

    def _produce(self, name: str, partition: int, key: bytes | None, value: bytes) -> None:
        self._producer.produce(self.kafka.topic(name), value, key, partition)

    def produce(self, partition: int, value: bytes, **headers: bytes) -> None:
        """A record on usage.events; headers have _ for -."""
        named = [(name.replace("_", "-"), header) for name, header in headers.items()]
        self._apps.produce(self.kafka.topic("usage.events"), value, partition=partition, headers=named)
        assert self._apps.flush(30) == 0

    # faults and repairs

    def write(self, name: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """A committed record that no checkpoint wrote."""
        self._producer.begin_transaction()
        self._produce(name, partition, key, value)
        self._producer.commit_transaction(30)

    def abort(self, name: str, partition: int, value: bytes) -> None:
        """A record of a transaction that is aborted."""
        self._producer.begin_transaction()
        self._produce(name, partition, None, value)
        self._producer.flush(30)
        self._producer.abort_transaction(30)

    def end(self, name: str, partition: int) -> int:
        return cluster.ends(self.kafka.kafka, self.kafka.topic(name))[partition]

    def forget(self, name: str, partition: int, before: int) -> None:
        """Let the log begin at ``before``, as retention does."""
        at = TopicPartition(self.kafka.topic(name), partition, before)
        for done in cluster.admin(self.kafka.kafka).delete_records([at]).values():
            done.result(30)

    def insert(self, table: str, rows: list[Row]) -> None:
        if rows and table == "usage_events_raw":
            insert_events(self._tables, ndjson(rows))
        elif rows:
            self._tables.insert(table, ndjson(rows))

    def command(self, sql: str) -> None:
        self._tables.command(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._tables.rows(sql)]

    def judge_without_verdict(self, partition: int, value: bytes) -> int:
        """A record that the watermark passes although its line has no verdict; its offset."""
        self.produce(partition, value)
        state = self._states[partition]
        state.offset += 1
        state.lines += 1
        state.accepted += 1
        self.commit(partition, [], [], [])
        return state.offset - 1

    def close(self) -> None:
        self._tables.close()

    # usage

    def event(self, tenant: str, *, hour: int | None = None, late: bool = False, quantity: str = "") -> Row:
        """An accepted event as the topic carries it."""
        self._ids += 1
        at = START + timedelta(hours=self._chance.randrange(4) if hour is None else hour, seconds=self._ids % 3600)
        if self._ids % 3 == 0:
            at += timedelta(milliseconds=self._ids % 1000)
        row: Row = {
            "tenant_id": tenant,
            "metric": self._chance.choice(["api_calls", "storage"]),
            "timestamp": text(at),
            "id": f"id-{self._ids}",
            "quantity": quantity
            or plain(Decimal(self._chance.randrange(1, 10**12)) / 10 ** self._chance.choice([0, 3, 9])),
        }
        if self._ids % 4 == 0:
            row |= {"subject": "naïve 名", "source": "app", "properties": {"region": "eu", "tier": 'a "quoted" \\ one'}}
        if late:
            row["late"] = 1
        return row

    def fill(self, checkpoints: int = 4) -> None:
        """Ordinary traffic: batches, single events, rejects, late events, blank lines, one event over several lines."""
        self._filling = True
        for _ in range(checkpoints):
            for partition in range(PARTITIONS):
                rows = [self.event(f"tenant-{partition}-{self._chance.randrange(3)}") for _ in range(30)]
                batch: list[Row | str] = [*rows, "unknown_metric", "invalid_json"]
                late = self.event(f"tenant-{partition}-0", hour=0, late=True)
                spread = self.event(f"tenant-{partition}-1")
                again = {**rows[0], "late": 1, "quantity": "7"}  # a repeat that only the table can tell
                self.judge(
                    partition,
                    [
                        (b"\n" + b"\n".join(b'{"line": %d}' % n for n in range(len(batch))) + b"\n\n", batch),
                        (b'{"one": 1}', [late]),
                        (b'{\n "over": "several",\n "lines": 1\n}', [spread]),
                        (b'{"again": 1}', [again]),
                        (b"not json\nat all", ["invalid_json", "invalid_json"]),
                    ],
                )
        self._filling = False
        self._insert_waiting()


def reject(reason: str, place: Row) -> Row:
    return {
        "reason": reason,
        "detail": "it does not count",
        "kafka_topic": "usage.events",
        **place,
        "received_at": text(START),
        "raw": '{"line": 1}',
        "raw_encoding": "utf-8",
        "raw_bytes": 11,
        "raw_sha256": f"{place['kafka_offset']:064d}",
        "tenant_id": "tenant-0-0",
    }


def total(key: tuple[str, str, str], partition: int, version: int, rows: list[Row]) -> Row:
    quantities = [Decimal(row["quantity"]) for row in rows]
    last = max(rows, key=lambda row: (datetime.fromisoformat(row["timestamp"]), row["id"]))
    return {
        "tenant_id": key[0],
        "metric": key[1],
        "hour": key[2],
        "kafka_partition": partition,
        "version": version,
        "count": len(rows),
        "sum": plain(sum(quantities, Decimal(0))),
        "min": plain(min(quantities)),
        "max": plain(max(quantities)),
        "last": last["quantity"],
        "last_timestamp": last["timestamp"],
        "last_id": last["id"],
    }


def plain(number: Decimal) -> str:
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def ndjson(rows: list[Row]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)
