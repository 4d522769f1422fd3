"""Kafka for tests: one broker, and topics under a prefix of each test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from meterline_deploy.ports import HOST, accepts
from meterline_deploy.topics import ensure_topics
from meterline_schemas.settings import KafkaSettings
from tests.services.class_archive import make_archive
from tests.services.server import Process, Server
from tests.support.ports import free_port


class Broker(Server, Protocol):
    """A broker; its address stays the same over restarts."""

    @property
    def bootstrap(self) -> str: ...


class EmbeddedBroker(Process):
    """The broker that ``meterline up`` runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__("kafka", folder)
        self._port = free_port()

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self._port}"

    def command(self) -> list[str]:
        return ["meterline_deploy.embedded.kafka", "--data", str(self._folder / "kafka"), "--port", str(self._port)]

    def start(self) -> None:
        make_archive()
        super().start()

    def ready(self) -> bool:
        return accepts(self._port) and answers(self.bootstrap)


def answers(bootstrap: str) -> bool:
    """Whether a broker tells who it is."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def create_topics(bootstrap: str, prefix: str, partitions: int) -> None:
    """All of Meterline's topics, set as they must be, with the partition count written down."""
    assert ensure_topics(KafkaSettings(kafka=bootstrap, topic_prefix=prefix), partitions) == []
