"""An installation's topics and real notifier processes."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meterline_deploy.ports import HOST
from meterline_schemas import topics
from meterline_schemas.catalog import Entry, Threshold, Webhook
from meterline_schemas.delivery import Delivery, decode
from meterline_schemas.notification import Notification, ThresholdCrossed, Type, notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import KafkaSettings
from tests.services.kafka import create_topics
from tests.support import cluster
from tests.support.ports import free_port
from tests.support.processes import Started
from tests.support.streams import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PARTITIONS = 3
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def crossed(number: int = 1, tenant: str = "acme", type: Type = Type.THRESHOLD_EXCEEDED, **fields: Any) -> Notification:
    """A notification of a threshold; ``number`` makes it one of its own."""
    data: dict[str, Any] = {
        "threshold_id": "orders",
        "tenant_id": tenant,
        "metric": "orders",
        "subject": "",
        "usage": "10000",
        "limit": "10000",
        "percent": "100",
        "step": "100",
        "action": "alert",
        "period": "monthly",
        "period_start": datetime(2026, 11, 1, tzinfo=UTC),
        "period_end": datetime(2026, 12, 1, tzinfo=UTC),
        **fields,
    }
    return notification(type, AT, tenant, ThresholdCrossed(**data), (tenant, str(number)))


def webhook(id: str, url: str, **fields: Any) -> Webhook:
    return Webhook(id=id, url=url, secret=SECRET, **fields)


def threshold(id: str = "orders", **fields: Any) -> Threshold:
    return Threshold(id=id, metric="orders", **fields)


class Notifiers:
    """Topics under a prefix, and notifiers by their names."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **settings: str) -> None:
        self.bootstrap, self.prefix = bootstrap, prefix
        self.kafka = KafkaSettings(kafka=bootstrap, topic_prefix=prefix)
        self.health_port = free_port()
        self._folder = folder
        self._settings = settings
        self._processes: dict[str, Started] = {}
        create_topics(bootstrap, prefix, PARTITIONS)

    def define(self, *entries: Entry) -> None:
        self._produce(topics.CONFIG, [(0, entry.record_key, entry.encode()) for entry in entries])

    def remove(self, entry: Entry) -> None:
        self._produce(topics.CONFIG, [(0, entry.record_key, None)])

    def notify(self, *notifications: Notification) -> None:
        self._produce(
            topics.NOTIFICATIONS,
            [(partition_of(each.tenant_id, PARTITIONS), None, each.encode()) for each in notifications],
        )

    def write(self, topic: str, partition: int, value: bytes) -> None:
        self._produce(topic, [(partition, None, value)])

    def _produce(self, topic: str, records: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
        producer = cluster.producer(self.bootstrap)
        for partition, key, value in records:
            producer.produce(self.prefix + topic, partition=partition, key=key, value=value)
        assert producer.flush(30) == 0

    def ledger(self) -> dict[tuple[str, str], Delivery]:
        """Every delivery as its newest record has it."""
        found = {}
        for message in cluster.read_all(self.bootstrap, self.prefix + topics.DELIVERIES):
            if message.value() is not None and isinstance(entry := decode(message.value()), Delivery):
                found[entry.key] = entry
        return found

    def states(self) -> list[str]:
        return [delivery.state.value for delivery in self.ledger().values()]

    # processes

    def start(self, name: str = "one", **more: str) -> Started:
        environment = {
            **os.environ,
            "METERLINE_KAFKA": self.bootstrap,
            "METERLINE_TOPIC_PREFIX": self.prefix,
            "METERLINE_KAFKA_CONFIG": json.dumps({"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}),
            "METERLINE_NOTIFY_WORKER_ID": name,
            "METERLINE_NOTIFY_HEALTH_PORT": str(self.health_port if name == "one" else 0),
            "METERLINE_NOTIFY_ALLOW_PRIVATE": "true",
            **self._settings,
            **more,
        }
        process = Started("meterline_sinks.notifier", environment=environment, out=self.log(name))
        self._processes[name] = process
        return process

    def log(self, name: str = "one") -> Path:
        return self._folder / f"{name}.log"

    def kill(self, name: str = "one") -> None:
        self._processes[name].kill()
        self._processes[name].wait(10)

    def terminate(self, name: str = "one") -> int:
        self._processes[name].send_signal(signal.SIGTERM)
        return self._processes[name].wait(15)

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.health_port}/health", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))
        except OSError:
            return {}

    def wait_ready(self) -> None:
        wait_until(lambda: bool(self.health().get("ready")), 40, f"ready; log: {self.log()}")

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(10)
