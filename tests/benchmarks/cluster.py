"""Servers and processes of a run: started when they are needed, ended with it, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from meterline_deploy.tether import tethered
from meterline_schemas import topics
from meterline_schemas.catalog import Entry, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.benchmarks import kafka
from tests.benchmarks.sizes import PARTITIONS
from tests.services.clickhouse import EmbeddedClickHouse, execute
from tests.services.kafka import EmbeddedBroker, create_topics
from tests.support.workload import METRICS

ROOT = Path(__file__).resolve().parents[2]


class EndedError(Exception):
    """A process ended that should not have."""


class Running:
    """A process of the run; what it says goes to ``log``."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.started = time.time()
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                tethered(list(command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                env={**_plain_environment(), "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,  # Ctrl-C is for the run alone, which ends this in order
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises EndedError where it does not run any more."""
        if self.process.poll() is not None:
            raise EndedError(f"{self.name} ended with exit code {self.process.returncode}: {self.tail()}")

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def logged(self, pattern: str) -> list[str]:
        """The lines of the log that contain a regular expression."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if re.search(pattern, line)]

    def times_logged(self, pattern: str) -> list[float]:
        """When those lines were written, by their own stamps, in seconds since the epoch."""
        return [_stamp(line) for line in self.logged(pattern)]

    def wait_for_log(self, pattern: str, count: int = 1, seconds: float = 60) -> None:
        wait(lambda: len(self.logged(pattern)) >= count, seconds, f"{self.name} to say {pattern!r}", self.check)

    def finish(self, seconds: float) -> None:
        """Wait until it ends by itself, well.

        Raises:
            EndedError: with another exit code than 0, or not at all.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise EndedError(f"{self.name} did not end within {seconds:.0f} s: {self.tail()}") from None
        if code:
            raise EndedError(f"{self.name} ended with exit code {code}: {self.tail()}")

    def stop(self, seconds: float = 20) -> None:
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Installation:
    """Meterline's topics under one prefix and, where it was asked for, its database."""

    bootstrap: str
    prefix: str
    partitions: int
    clickhouse: ClickHouseSettings | None = None

    def topic(self, name: str) -> str:
        return self.prefix + name

    def environment(self) -> dict[str, str]:
        settings = {"METERLINE_KAFKA": self.bootstrap, "METERLINE_TOPIC_PREFIX": self.prefix}
        if self.clickhouse is not None:
            settings |= {
                "METERLINE_CLICKHOUSE_URL": self.clickhouse.url,
                "METERLINE_CLICKHOUSE_USER": self.clickhouse.user,
                "METERLINE_CLICKHOUSE_PASSWORD": self.clickhouse.password.get_secret_value(),
                "METERLINE_CLICKHOUSE_DATABASE": self.clickhouse.database,
            }
        return settings

    def query(self, sql: str) -> list[list[str]]:
        """The rows of a statement, as text; ``{db}`` in it is the database."""
        assert self.clickhouse is not None
        answer = execute(self.clickhouse, sql.replace("{db}", self.clickhouse.database) + " FORMAT TSV")
        return [line.split("\t") for line in answer.splitlines()]


class Bench:
    """A run's folder, broker, ClickHouse and processes."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="meterline-bench-"))
        self._broker = EmbeddedBroker(self.folder)
        self._clickhouse = EmbeddedClickHouse(self.folder)
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        try:
            self._broker.start()
        except AssertionError as error:
            self.__exit__(None, None, None)
            raise EndedError(str(error)) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end_processes()
        self._clickhouse.kill()
        self._broker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    @property
    def broker_pid(self) -> int:
        return self._broker.pid

    @property
    def clickhouse_pid(self) -> int:
        return self._clickhouse.pid

    def prefix(self, name: str) -> str:
        return f"{name}-{uuid.uuid4().hex[:6]}."

    def installation(self, name: str, partitions: int = PARTITIONS, *, clickhouse: bool = False) -> Installation:
        """A new installation with the metrics of the workloads defined."""
        prefix = self.prefix(name)
        create_topics(self.bootstrap, prefix, partitions)
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 3})
        for metric in sorted(METRICS):
            producer.produce(prefix + topics.CONFIG, key=f"metric/{metric}", value=Metric(key=metric).encode())
        producer.flush(30)
        settings = None
        if clickhouse:
            self._clickhouse.start()
            settings = self._clickhouse.settings(re.sub(r"\W", "_", prefix.rstrip(".")))
            migrate(settings, cluster="")
        return Installation(self.bootstrap, prefix, partitions, settings)

    def configure(self, installation: Installation, *entries: Entry) -> None:
        """Write entries of the catalog, acknowledged when this returns."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 3})
        for entry in entries:
            producer.produce(installation.topic(topics.CONFIG), key=entry.record_key, value=entry.encode())
        producer.flush(30)

    def remove(self, installation: Installation) -> None:
        """Delete what an installation holds."""
        kafka.drop(self.bootstrap, installation.prefix)
        if installation.clickhouse is not None:
            execute(installation.clickhouse, f"DROP DATABASE IF EXISTS {installation.clickhouse.database} SYNC")

    def python(self, name: str, module: str, *arguments: str, **environment: str) -> Running:
        return self.command(name, [sys.executable, "-m", module, *arguments], **environment)

    def command(self, name: str, command: Sequence[str], **environment: str) -> Running:
        running = Running(f"{name}-{len(self._running)}", command, self.folder, environment)
        self._running.append(running)
        return running

    def worker(self, installation: Installation) -> Running:
        """A stream worker with the settings that it has by default."""
        return self.python(
            "worker",
            "meterline_streams",
            **installation.environment(),
            METERLINE_STREAM_WORKER_ID=f"{installation.prefix}worker",
        )

    def sink(self, installation: Installation) -> Running:
        return self.python("sink", "meterline_sinks", **installation.environment())

    def end_processes(self) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.kill()


def wait(
    condition: Callable[[], bool],
    seconds: float,
    what: str,
    check: Callable[[], None] = lambda: None,
    every: float = 0.05,
) -> None:
    """Return once ``condition`` holds.

    Raises:
        TimeoutError: it does not within ``seconds``.
        whatever ``check`` raises.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        check()
        time.sleep(every)


def settle(seconds: float = 2.0) -> None:
    """Let the servers finish what the filling left them to do, before anything is measured."""
    time.sleep(seconds)


def _stamp(line: str) -> float:
    found = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3})", line)
    if found is None:
        raise ValueError(f"no time in the line {line!r}")
    return time.mktime(time.strptime(found[1], "%Y-%m-%d %H:%M:%S")) + int(found[2]) / 1000


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")}
