"""The servers as containers: stock images where they can be had, else one that is built here (``images/build.sh``).

A pytest that is killed leaves its containers; the next one removes them.
"""

from __future__ import annotations

import os
import subprocess
import time
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, Final

# testcontainers reads these when it is imported; we remove what we start by ourselves
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

import docker
import psutil
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.container import DockerContainer

from meterline_deploy.embedded.jars import jars
from meterline_deploy.folders import cache_folder
from meterline_deploy.ports import HOST, accepts
from meterline_schemas.settings import ClickHouseSettings
from tests.services.clickhouse import ANALYST_PASSWORD, PASSWORD, pings, settings_of
from tests.services.kafka import answers
from tests.services.server import START_SECONDS
from tests.support.ports import free_port

KAFKA_IMAGE: Final = "apache/kafka:4.1.1"
CLICKHOUSE_IMAGE: Final = "clickhouse/clickhouse-server:25.8"
LOCAL_IMAGE: Final = "meterline-test/servers"
LABEL: Final = "meterline.test.pid"
STOP_SECONDS: Final = 20


class Container(ABC):
    """A server in a container; its port on this machine and its data stay the same over restarts."""

    def __init__(self) -> None:
        self._port = free_port()
        self._container: Any = None

    @abstractmethod
    def make(self) -> Any:
        """The container, not started."""

    @abstractmethod
    def ready(self) -> bool: ...

    @property
    def pid(self) -> int:
        """Of its first process, on this machine."""
        self._container.reload()
        return int(self._container.attrs["State"]["Pid"])

    def start(self) -> None:
        if self._container is None:
            made = self.make()
            made.start()
            self._container = made.get_wrapped_container()
        elif self._status() != "running":
            self._container.start()
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self._status() != "running" or time.monotonic() > deadline:
                tail = self._container.logs(tail=40).decode(errors="replace")
                raise AssertionError(f"{type(self).__name__} is {self._status()}; its log ends:\n{tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        self.resume()
        self._container.stop(timeout=STOP_SECONDS)

    def kill(self) -> None:
        if self._container is not None and self._status() in ("running", "paused"):
            self.resume()
            self._container.kill()
            self._container.wait()

    def remove(self) -> None:
        if self._container is not None:
            self._container.remove(force=True, v=True)

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        if self._status() == "paused":
            self._container.unpause()

    def restore(self) -> None:
        self.resume()
        self.start()

    def _status(self) -> str:
        self._container.reload()
        return str(self._container.status)


class ContainerBroker(Container):
    """Apache Kafka."""

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self._port}"

    def ready(self) -> bool:
        return accepts(self._port) and answers(self.bootstrap)

    def make(self) -> Any:
        if image(KAFKA_IMAGE) == LOCAL_IMAGE:
            jars(print)
            return local(
                "meterline_deploy.embedded.kafka", "--data", "/data", "--port", str(self._port)
            ).with_volume_mapping(str(cache_folder()), "/cache", "rw")
        made = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, self._port).with_kwargs(labels=labels())
        for name, value in {
            "NODE_ID": "1",
            "PROCESS_ROLES": "broker,controller",
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap}",
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "AUTO_CREATE_TOPICS_ENABLE": "false",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "BROKER_SESSION_TIMEOUT_MS": "4000",
            "BROKER_HEARTBEAT_INTERVAL_MS": "1000",
        }.items():
            made = made.with_env(f"KAFKA_{name}", value)
        return made


class ContainerClickHouse(Container):
    """ClickHouse."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def settings(self, database: str) -> ClickHouseSettings:
        return settings_of(self.url, database)

    def ready(self) -> bool:
        return accepts(self._port) and pings(self.url)

    def make(self) -> Any:
        if image(CLICKHOUSE_IMAGE) == LOCAL_IMAGE:
            return (
                local("meterline_deploy.embedded.clickhouse", "--data", "/data", "--port", str(self._port))
                .with_env("METERLINE_CLICKHOUSE_PASSWORD", PASSWORD)
                .with_env("METERLINE_CLICKHOUSE_ANALYST_PASSWORD", ANALYST_PASSWORD)
            )
        return (
            DockerContainer(CLICKHOUSE_IMAGE)
            .with_bind_ports(8123, self._port)
            .with_kwargs(labels=labels())
            .with_env("CLICKHOUSE_USER", "default")
            .with_env("CLICKHOUSE_PASSWORD", PASSWORD)
            .with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
        )


def local(*command: str) -> Any:
    """Our own image on this machine's network: what runs in it listens on 127.0.0.1 only."""
    made = DockerContainer(LOCAL_IMAGE).with_command(list(command)).with_env("METERLINE_CACHE", "/cache")
    return made.with_kwargs(network_mode="host", labels=labels())


def labels() -> dict[str, str]:
    """How the next pytest finds what this one left."""
    return {LABEL: str(os.getpid())}


@cache
def image(stock: str) -> str:
    """The stock image where it is here or can be pulled, else the local one, built where it is missing."""
    client = docker.from_env()
    try:
        remove_leftovers(client)
        for name in (stock, LOCAL_IMAGE):
            try:
                client.images.get(name)
                return name
            except ImageNotFound:
                pass
            if name == stock:
                try:
                    client.images.pull(stock)
                    return stock
                except DockerException:
                    pass
        build = Path(__file__).parent / "images" / "build.sh"
        subprocess.run([str(build)], check=True)
        return LOCAL_IMAGE
    finally:
        client.close()


def remove_leftovers(client: Any) -> None:
    """Remove containers of a pytest that is gone."""
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        if not psutil.pid_exists(int(container.labels[LABEL])):
            container.remove(force=True, v=True)
