"""What ``meterline up`` is going to run: settings in, parts out."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meterline_deploy import run
from meterline_deploy.cluster import Cluster
from meterline_deploy.credentials import credentials
from meterline_deploy.errors import PortsTakenError
from meterline_deploy.part import Part, answers_ready, pings
from meterline_deploy.ports import HOST, accepts, free_port, is_free
from meterline_deploy.run import RunInfo
from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

STOP_ORDER: Final = ("api", "streams", "notifier", "sinks", "clickhouse", "kafka")


@dataclass(frozen=True)
class Options:
    """The command line of ``meterline up``. ``kafka`` and ``clickhouse`` name servers that exist already."""

    data: Path
    kafka_port: int = 9092
    clickhouse_port: int = 8123
    api_port: int = 3000
    partitions: int | None = None
    workers: int = 1
    kafka: str | None = None
    clickhouse: str | None = None

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are needed, by the option that changes each."""
        ports = {"--api-port": self.api_port}
        if self.clickhouse is None:
            ports = {"--clickhouse-port": self.clickhouse_port, **ports}
        if self.kafka is None:
            ports = {"--kafka-port": self.kafka_port, **ports}
        return ports


def check_ports(ports: Mapping[str, int]) -> None:
    """Raises PortsTakenError, naming all of them, where two are the same or somebody else listens.

    Raises:
        ConfigurationError: two parts were given the same port.
    """
    if len(set(ports.values())) < len(ports):
        same = [option for option, port in ports.items() if list(ports.values()).count(port) > 1]
        raise ConfigurationError(f"{' and '.join(same)} are the same port: give each its own")
    taken = {option: port for option, port in ports.items() if not is_free(port)}
    if taken:
        raise PortsTakenError(taken)


def settle(options: Options, data: Path) -> RunInfo:
    """Addresses, credentials and ports of this start; what was made at the first start stays the same."""
    own = credentials(data)
    kafka = load(KafkaSettings)
    clickhouse = load(ClickHouseSettings)
    if options.clickhouse is None:
        url, user, password = f"http://{HOST}:{options.clickhouse_port}", "default", own.clickhouse_password
        analyst_user, analyst_password = "analyst", own.analyst_password
    else:
        url, user, password = options.clickhouse, clickhouse.user, clickhouse.password.get_secret_value()
        analyst_user, analyst_password = clickhouse.analyst_user, clickhouse.analyst_password.get_secret_value()
    api_url = f"http://{HOST}:{options.api_port}"
    return RunInfo(
        pid=os.getpid(),
        started=run.started_at(os.getpid()),
        kafka=options.kafka or f"{HOST}:{options.kafka_port}",
        kafka_config={} if options.kafka is None else kafka.kafka_config,
        topic_prefix=kafka.topic_prefix,
        clickhouse_url=url,
        clickhouse_user=user,
        clickhouse_password=password,
        clickhouse_database=clickhouse.database,
        analyst_user=analyst_user,
        analyst_password=analyst_password,
        api_url=api_url,
        api_key=os.environ.get("METERLINE_API_KEY") or own.api_key,
        health={**_health(options.workers, run.read(data), set(options.ports.values())), "api": api_url + "/health"},
    )


def _health(workers: int, last: RunInfo | None, used: set[int]) -> dict[str, str]:
    """A health URL for each worker: that of the last start where its port is still free."""
    found: dict[str, str] = {}
    for name in [*stream_names(workers), "sinks", "notifier"]:
        port = _port_of(last.health.get(name, "")) if last is not None else 0
        while not port or port in used or not is_free(port):
            port = free_port()
        used.add(port)
        found[name] = f"http://{HOST}:{port}/health"
    return found


def _port_of(url: str) -> int:
    text = url.rpartition(":")[2].partition("/")[0]
    return int(text) if text.isdigit() else 0


def stream_names(workers: int) -> list[str]:
    """``streams``, and ``streams-2`` … beside it."""
    return ["streams", *(f"streams-{number}" for number in range(2, workers + 1))]


def kafka_part(options: Options, data: Path, info: RunInfo) -> Part:
    def ready() -> bool:
        return accepts(options.kafka_port) and kafka_answers(info)

    return Part(
        "kafka",
        _module("meterline_deploy.embedded.kafka", "--data", str(data / "kafka"), "--port", str(options.kafka_port)),
        ready,
        address=info.kafka,
        grace=3.0,
    )


def clickhouse_part(options: Options, data: Path, info: RunInfo) -> Part:
    folder, port = str(data / "clickhouse"), str(options.clickhouse_port)
    return Part(
        "clickhouse",
        _module("meterline_deploy.embedded.clickhouse", "--data", folder, "--port", port),
        lambda: pings(info.clickhouse_url),
        environment=info.environment(),
        address=info.clickhouse_url,
        grace=2.5,
    )


def worker_parts(info: RunInfo, data: Path, workers: int) -> list[Part]:
    """Streams, sinks, the notifier and the API.

    Worker ids stay the same from start to start, so that a restart rejoins at once.
    """
    name = f"{socket.gethostname()}-{hashlib.sha256(str(data).encode()).hexdigest()[:8]}"
    parts = []
    for part in stream_names(workers):
        more = {
            "METERLINE_STREAM_WORKER_ID": f"{name}-{part}",
            "METERLINE_STREAM_HEALTH_PORT": str(_port_of(info.health[part])),
        }
        parts.append(_worker(info, part, "meterline_streams", more, grace=4.0))
    more = {
        "METERLINE_SINK_WORKER_ID": f"{name}-sinks",
        "METERLINE_SINK_HEALTH_PORT": str(_port_of(info.health["sinks"])),
    }
    parts.append(_worker(info, "sinks", "meterline_sinks", more, grace=3.0))
    more = {
        "METERLINE_NOTIFY_WORKER_ID": f"{name}-notifier",
        "METERLINE_NOTIFY_HEALTH_PORT": str(_port_of(info.health["notifier"])),
    }
    parts.append(_worker(info, "notifier", "meterline_sinks.notifier", more, grace=5.0))
    more = {"METERLINE_API_HOST": HOST, "METERLINE_API_PORT": str(_port_of(info.health["api"]))}
    parts.append(_worker(info, "api", "meterline_api", more, grace=2.5, address=info.api_url))
    return parts


def _worker(info: RunInfo, name: str, module: str, more: Mapping[str, str], grace: float, address: str = "") -> Part:
    health = info.health[name]
    return Part(
        name,
        _module(module),
        answers_ready(health),
        environment={**info.environment(), **more},
        address=address,
        grace=grace,
        health=health,
    )


def kafka_answers(info: RunInfo) -> bool:
    """Whether the brokers tell who they are."""
    try:
        return bool(Cluster(kafka_settings(info), timeout=1.0).brokers())
    except UnavailableError:
        return False


def kafka_trouble(info: RunInfo) -> str:
    """Why the brokers do not tell who they are; "" where they do."""
    try:
        Cluster(kafka_settings(info), timeout=3.0).brokers()
    except UnavailableError as error:
        return str(error)
    return ""


def kafka_settings(info: RunInfo) -> KafkaSettings:
    return KafkaSettings(kafka=info.kafka, kafka_config=info.kafka_config, topic_prefix=info.topic_prefix)


def clickhouse_settings(info: RunInfo) -> ClickHouseSettings:
    return ClickHouseSettings.model_validate(
        {
            "url": info.clickhouse_url,
            "user": info.clickhouse_user,
            "password": info.clickhouse_password,
            "database": info.clickhouse_database,
            "analyst_user": info.analyst_user,
            "analyst_password": info.analyst_password,
        }
    )


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
