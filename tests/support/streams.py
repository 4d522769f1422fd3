"""Real stream workers as processes of their own: started, killed, frozen, woken, started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from confluent_kafka.admin import NewTopic

from meterline_schemas import topics
from meterline_schemas.catalog import PARTITION_COUNT_KEY, Entry, Metric, PartitionCount
from meterline_schemas.partitioning import partition_of
from tests.support import cluster
from tests.support.processes import Started
from tests.support.recount import Recount, answers_of_topics, assert_equal_counts, check_one_verdict_each, lines
from tests.support.workload import METRICS


def wait_until(condition: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> None:
    """Return once ``condition`` holds; fail, naming ``what``, where it does not within ``seconds``.

    It is asked less often the longer it takes: many ask a database, on the cores that what they wait for works on.
    """
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < seconds, f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}"
        time.sleep(min(0.05 + waited / 10, 0.4))


class Streams:
    """An installation's topics under one prefix, and its stream workers."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, partitions: int = 4, **settings: str) -> None:
        self.bootstrap, self.prefix, self.partitions = bootstrap, prefix, partitions
        self._folder = folder
        self._settings = settings
        self._workers: dict[str, Started] = {}
        self.expected = Recount()
        self._create()

    def _create(self) -> None:
        wanted = [
            NewTopic(
                self.prefix + topic.name,
                self.partitions if topic.partitioned == "like_events" else 1,
                1,
                config=topic.settings,
            )
            for topic in topics.TOPICS
        ]
        for created in cluster.admin(self.bootstrap).create_topics(wanted).values():
            created.result(30)
        self.define(*sorted(METRICS), partitions=self.partitions)

    def define(self, *metrics: str, partitions: int | None = None) -> None:
        """Write metric definitions, acknowledged when this returns."""
        records: list[tuple[str | bytes, bytes]] = []
        if partitions is not None:
            records.append((PARTITION_COUNT_KEY, msgspec.json.encode(PartitionCount(partitions))))
        records += [(f"metric/{metric}", Metric(key=metric).encode()) for metric in metrics]
        cluster.produce_keyed(self.bootstrap, self.prefix + topics.CONFIG, records)

    def configure(self, *entries: Entry) -> None:
        """Write entries of the catalog, acknowledged when this returns."""
        records = [(entry.record_key, entry.encode()) for entry in entries]
        cluster.produce_keyed(self.bootstrap, self.prefix + topics.CONFIG, records)

    def home(self, tenant: str) -> int:
        return partition_of(tenant, self.partitions)

    # events

    def send(self, records: Iterator[tuple[int, bytes]] | list[tuple[int, bytes]]) -> None:
        """Records to ``usage.events``, counted independently as well."""
        batch = list(records)
        for _partition, value in batch:
            for line in lines(value):
                self.expected.add(line, METRICS)
        cluster.produce(self.bootstrap, self.prefix + topics.EVENTS, batch)

    # workers

    def environment(self, name: str, more: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            "METERLINE_KAFKA": self.bootstrap,
            "METERLINE_TOPIC_PREFIX": self.prefix,
            "METERLINE_STREAM_WORKER_ID": name,
            "METERLINE_SESSION_SECONDS": "6",
            **self._settings,
            **more,
        }

    def start(self, name: str, module: str = "meterline_streams", **more: str) -> Started:
        """Start a worker; ``more`` is added to its environment."""
        worker = Started(module, environment=self.environment(name, more), out=self.log(name))
        self._workers[name] = worker
        return worker

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def signal(self, name: str, number: signal.Signals) -> None:
        self._workers[name].send_signal(number)

    def kill(self, name: str) -> None:
        self._workers[name].kill()
        self._workers[name].wait(10)

    def exit_code(self, name: str, seconds: float) -> int:
        """Wait for a worker to end by itself."""
        return self._workers[name].wait(seconds)

    def names(self) -> set[str]:
        return set(self._workers)

    def pid(self, name: str) -> int:
        return self._workers[name].pid

    def alive(self, name: str) -> bool:
        return self._workers[name].poll() is None

    def assigned(self, name: str) -> bool:
        """Whether the worker has opened a partition, as its log says."""
        log = self.log(name)
        return log.exists() and b" open at offset " in log.read_bytes()

    # outcome

    def drain(self, *keep_alive: str, seconds: float = 90) -> None:
        """Wait until everything sent is judged, starting workers of these names again whenever they end."""
        end = {n: offset for n, offset in cluster.ends(self.bootstrap, self.prefix + topics.EVENTS).items() if offset}

        def done() -> bool:
            for name in keep_alive:
                if not self.alive(name):
                    self.start(name)
            judged = cluster.judged(self.bootstrap, self.prefix)
            return all(judged.get(n, 0) >= offset for n, offset in end.items())

        def what() -> str:
            return f"all of {end} judged, not only {cluster.judged(self.bootstrap, self.prefix)}"

        wait_until(done, seconds, what)

    def check_exact(self) -> None:
        """One verdict a line, and every total equal to the independent count."""
        check_one_verdict_each(self.bootstrap, self.prefix)
        assert_equal_counts(answers_of_topics(self.bootstrap, self.prefix), self.expected.answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait(10)
        if kind is not None:
            for name in sorted(self._workers):
                print(f"--- the end of {name}'s log\n{self.log(name).read_bytes()[-6000:].decode(errors='replace')}")
