"""Real sinks as processes of their own, fed as the stream feeds them, and a gate before ClickHouse that can be shut."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from meterline_schemas.kafka_client import come, fence
from meterline_schemas.settings import ClickHouseSettings
from tests.sinks.usage import Checkpoint
from tests.support.ports import free_port
from tests.support.processes import Started
from tests.support.streams import wait_until

ACCEPTED, REJECTED, TOTALS = "usage.accepted", "usage.rejected", "usage.totals"
TOPICS = (ACCEPTED, REJECTED, TOTALS)
NOTIFICATIONS, CONFIG, AUDIT = "meterline.notifications", "meterline.config", "meterline.audit"
INVOICES = "billing.invoices"
COSTS = "billing.costs"
PAYMENTS = "billing.payments"
PUSHES = "billing.pushes"
ITEMS = "billing.items"
RUNS = "billing.runs"
SINGLE = (CONFIG, AUDIT, INVOICES, COSTS, PAYMENTS, PUSHES, ITEMS, RUNS)


class Feed:
    """The topics that sinks read, under one prefix, written in transactions as the contract of the topics says."""

    def __init__(self, bootstrap: str, prefix: str, partitions: int = 3) -> None:
        self.bootstrap, self.prefix, self.partitions = bootstrap, prefix, partitions
        self.group = prefix + "meterline-sinks"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        wanted = [
            NewTopic(
                prefix + name,
                1 if name in SINGLE else partitions,
                1,
                config={"message.timestamp.type": "LogAppendTime", "max.message.bytes": "8388608"},
            )
            for name in (*TOPICS, NOTIFICATIONS, *SINGLE)
        ]
        for created in self.admin.create_topics(wanted).values():
            created.result(30)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": prefix + "feed",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 8_000_000,
            }
        )
        fence(self._producer, prefix + ACCEPTED, 30)
        self._member = Consumer({"bootstrap.servers": bootstrap, "group.id": self.group})  # asks, never joins

    def write(self, checkpoints: Iterable[Checkpoint], *, abort: bool = False) -> None:
        """One transaction each; acknowledged, or aborted, when this returns."""
        for checkpoint in checkpoints:
            self._producer.begin_transaction()
            for start in range(0, len(checkpoint.accepted), 10):
                self._send(ACCEPTED, checkpoint, None, b"\n".join(checkpoint.accepted[start : start + 10]))
            for line in checkpoint.rejected:
                self._send(REJECTED, checkpoint, None, line)
            for key, value in checkpoint.totals:
                self._send(TOTALS, checkpoint, key, value)
            for topic in TOPICS:
                self._send(topic, checkpoint, b"progress", checkpoint.progress)
            if abort:
                assert self._producer.flush(30) == 0, "aborted records must have reached the log"
                self._producer.abort_transaction(30)
            else:
                self._producer.commit_transaction(30)

    def record(self, topic: str, partition: int, value: bytes | None, key: bytes | None = None) -> int:
        """One record in a transaction of its own; returns its offset."""
        offsets: list[int] = []
        self._producer.begin_transaction()
        self._producer.produce(
            self.prefix + topic,
            key=key,
            value=value,
            partition=partition,
            on_delivery=lambda _error, message: offsets.append(message.offset()),
        )
        self._producer.commit_transaction(30)
        return offsets[0]

    def _send(self, topic: str, checkpoint: Checkpoint, key: bytes | None, value: bytes) -> None:
        self._producer.produce(self.prefix + topic, key=key, value=value, partition=checkpoint.partition)

    def all_partitions(self) -> list[tuple[str, int]]:
        topics = (*TOPICS, NOTIFICATIONS)
        shared = [(topic, partition) for topic in topics for partition in range(self.partitions)]
        return shared + [(topic, 0) for topic in SINGLE]

    def ends(self, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED) -> dict[tuple[str, int], int]:
        """Where the partitions end for a reader of committed records."""
        asked = {TopicPartition(self.prefix + t, p): OffsetSpec.latest() for t, p in self.all_partitions()}
        found: dict[TopicPartition, int] = {}

        def answered() -> bool:
            with suppress(KafkaException):  # nobody leads the partitions of a topic just made
                answers = self.admin.list_offsets(asked, isolation_level=isolation)
                found.update({place: answer.result(30).offset for place, answer in answers.items()})
                return True
            return False

        wait_until(answered, 60, "Kafka says where the partitions end")
        return {(each.topic.removeprefix(self.prefix), each.partition): end for each, end in found.items()}

    def committed(self) -> dict[tuple[str, int], int]:
        """What the sinks' group has committed; partitions without an offset are left out."""
        wanted = [TopicPartition(self.prefix + topic, partition) for topic, partition in self.all_partitions()]
        # not by the admin client: librdkafka 2.16 crashes the process when the coordinator is not ready yet
        found: list[TopicPartition] = []

        def answered() -> bool:
            nonlocal found
            with suppress(KafkaException):  # the coordinator of a new group is not ready at once
                found = self._member.committed(wanted, timeout=30)
            return bool(found)

        wait_until(answered, 60, "Kafka says what the group has committed")
        return {(p.topic.removeprefix(self.prefix), p.partition): p.offset for p in found if p.offset >= 0}

    def drained(self) -> bool:
        """Whether everything there is has been committed.

        Up to the log's end: the end for a reader of committed records may lag behind a commit that was answered.
        """
        committed = self.committed()
        return all(committed.get(key, 0) == end for key, end in self.ends(IsolationLevel.READ_UNCOMMITTED).items())

    def close(self) -> None:
        self._member.close()

    def forget_group(self) -> None:
        def forgotten() -> bool:
            (answer,) = self.admin.delete_consumer_groups([self.group]).values()
            try:
                answer.result(30)
            except Exception as error:
                # a killed member counts as one until its session has ended
                return "GROUP_ID_NOT_FOUND" in str(error)
            return True

        wait_until(forgotten, 40, "the group is deleted")

    def commit(self, topic: str, partition: int, offset: int) -> None:
        """Commit for the group, which must have no members."""
        wanted = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.prefix + topic, partition, offset)])

        def done() -> bool:
            with suppress(KafkaException):  # a static member counts as one until its session has ended
                for answer in self.admin.alter_consumer_group_offsets([wanted]).values():
                    answer.result(30)
            return self.committed().get((topic, partition)) == offset

        wait_until(done, 40, "the group takes the offset")

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete records as retention does."""
        for answer in self.admin.delete_records([TopicPartition(self.prefix + topic, partition, offset)]).values():
            answer.result(30)

    def values(self, topic: str, isolation: str) -> list[bytes]:
        """Every value of a topic as a reader of that isolation level sees it."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "tests",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(self.prefix + topic, p, 0) for p in range(self.partitions)])
        found: list[bytes] = []
        ended: set[int] = set()
        deadline = time.monotonic() + 60
        while len(ended) < self.partitions:
            assert time.monotonic() < deadline
            for message in come(consumer, 1000, 0.2):
                error = message.error()
                if error is None:
                    found.append(message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        consumer.close()
        return found


class Sinks:
    """Sink processes of one installation; ``more`` is added to the environment of each."""

    def __init__(self, feed: Feed, clickhouse: ClickHouseSettings, folder: Path) -> None:
        self._feed = feed
        self._clickhouse = clickhouse
        self._folder = folder
        self._processes: dict[str, Started] = {}
        self._ports: dict[str, int] = {}

    def start(self, name: str, **more: str) -> Started:
        self._ports[name] = free_port()
        environment = {
            **os.environ,
            "METERLINE_KAFKA": self._feed.bootstrap,
            "METERLINE_KAFKA_CONFIG": '{"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}',
            "METERLINE_TOPIC_PREFIX": self._feed.prefix,
            "METERLINE_CLICKHOUSE_URL": self._clickhouse.url,
            "METERLINE_CLICKHOUSE_USER": self._clickhouse.user,
            "METERLINE_CLICKHOUSE_PASSWORD": self._clickhouse.password.get_secret_value(),
            "METERLINE_CLICKHOUSE_DATABASE": self._clickhouse.database,
            "METERLINE_SINK_HEALTH_PORT": str(self._ports[name]),
            "METERLINE_SINK_WORKER_ID": name,
            "METERLINE_SINK_FLUSH_SECONDS": "0.2",
            **more,
        }
        process = Started("meterline_sinks", environment=environment, out=self.log_file(name))
        self._processes[name] = process
        return process

    def log_file(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def log(self, name: str) -> str:
        return self.log_file(name).read_text()

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes[name].wait(10)

    def stop(self, name: str) -> int:
        """Stop cleanly; returns the exit code."""
        self._processes[name].send_signal(signal.SIGTERM)
        return self._processes[name].wait(15)

    def ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def exit_code(self, name: str, seconds: float = 60) -> int:
        """Wait for a process to end by itself."""
        return self._processes[name].wait(seconds)

    def health(self, name: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the health page; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/health", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def metrics(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def metric(self, name: str, metric: str) -> float:
        """The value of a metric without labels."""
        (line,) = [line for line in self.metrics(name).splitlines() if line.startswith(metric + " ")]
        return float(line.split()[1])

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(10)


class Gate:
    """A TCP forwarder before ClickHouse. Shut, it cuts what is open and refuses what is new, as a dead server does."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        url = urlsplit(settings.url)
        self._behind = (url.hostname or "", url.port or 8123)
        self._port = free_port()
        self.settings = settings.model_copy(update={"url": f"http://127.0.0.1:{self._port}"})
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.opened()

    def opened(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            # wakes the thread that waits in accept, which holds the port as long as it waits
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for side in list(self._open):
            self._cut(side)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._behind)
            except OSError:
                near.close()
                continue
            self._open.update((near, far))
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        self._cut(source)
        self._cut(sink)

    def _cut(self, side: socket.socket) -> None:
        self._open.discard(side)
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
        side.close()
