"""An app with a spool is killed again and again while it tracks: each event that ``track`` took counts exactly once."""

from __future__ import annotations

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meterline_schemas import topics
from tests.services.kafka import Broker
from tests.support import cluster
from tests.support.processes import Started
from tests.support.recount import answers_of_topics, assert_equal_counts
from tests.support.streams import Streams, wait_until
from tests.support.workload import METRICS

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("METERLINE_TEST_SEED", "2026"))
EVERY = 5_000  # events, of which one is being tracked when the app is killed
FEW, MANY = 40_000, pytest.param(100_000, marks=pytest.mark.long)
SPOOL_BYTES = 64 * 1024 * 1024  # files of 2 MB, so that several are left behind


class App:
    """One process after the other; ``witness`` is what they wrote down."""

    def __init__(self, streams: Streams, folder: Path, events: int) -> None:
        self.events, self.kills = events, events // EVERY
        self.witness = folder / "witness"
        self.spool = folder / "spool"
        self._log = folder / "app.log"
        self._environment = {
            **os.environ,
            "METERLINE_KAFKA": streams.bootstrap,
            "METERLINE_TOPIC_PREFIX": streams.prefix,
            "METERLINE_SPOOL": str(self.spool),
        }

    def start(self, first: int) -> Started:
        program = ("tests.producers.processes.spooling_app", str(self.witness))
        numbers = (str(first), str(self.events), str(SPOOL_BYTES))
        return Started(*program, *numbers, environment=self._environment, out=self._log)

    def next(self, first: int) -> int:
        """The number of the first event that nobody began to track."""
        lines = self.witness.read_bytes().split(b"\n")
        begun = [int(line.split(b" ", 1)[0]) for line in lines if b" {" in line]
        return max(begun, default=first - 1) + 1

    def at_least(self, bytes: int) -> bool:
        return self.witness.exists() and self.witness.stat().st_size >= bytes


def run(app: App) -> int:
    """Kill it at random moments of its work, then let it end; how many were killed."""
    rng = random.Random(SEED)
    first, killed = 0, 0
    while True:
        process = app.start(first)
        if killed == app.kills:
            assert process.wait(240) == 0, "what the last one tracked was not all acknowledged"
            return killed
        size = app.witness.stat().st_size if app.witness.exists() else 0
        enough = size + rng.randrange(1_000, 180 * EVERY)
        deadline = time.monotonic() + 120
        while not app.at_least(enough) and process.poll() is None:
            assert time.monotonic() < deadline, "the app does not track"
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it was killed"
        process.kill()
        process.wait(10)
        killed += 1
        with app.witness.open("ab") as file:
            file.write(b"\n")  # an event that was begun only
        first = app.next(first)


def check(streams: Streams, app: App, killed: int) -> None:
    """Each event that ``track`` returned for is counted once, and of those only begun each at most once."""
    begun: dict[tuple[str, str, str], list[bytes]] = {}
    for line in app.witness.read_bytes().split(b"\n"):
        words = line.split(b" ")
        if len(words) == 3:
            event = json.loads(words[1])
            streams.expected.add(json.dumps({**event, "id": words[2].decode()}).encode(), METRICS)
        elif len(words) == 2 and words[1].endswith(b"}"):
            event = json.loads(words[1])
            begun.setdefault((event["tenant_id"], event["metric"], event["timestamp"][:-6]), []).append(words[1])
    assert len(streams.expected.ids) >= app.events - killed
    streams.start("counter")
    streams.drain("counter", seconds=180)
    extra = 0
    for message in cluster.read_all(streams.bootstrap, streams.prefix + topics.EVENTS):
        for line in message.value().split(b"\n"):
            event = json.loads(line)
            if (event["tenant_id"], event["id"]) not in streams.expected.ids:
                key = (event["tenant_id"], event["metric"], event["timestamp"][:-1])
                assert begun.get(key), f"nobody tracked {event}"
                begun[key].pop()
                streams.expected.add(line, METRICS)
                extra += 1
    assert extra <= killed
    assert_equal_counts(answers_of_topics(streams.bootstrap, streams.prefix), streams.expected.answers)
    assert list(app.spool.glob("*.events")) == []


@pytest.mark.parametrize("events", [FEW, MANY])
def test_an_app_that_is_killed_loses_and_doubles_nothing(kafka: str, prefix: str, tmp_path: Path, events: int) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        app = App(streams, tmp_path, events)
        check(streams, app, run(app))


@pytest.mark.parametrize(("seconds", "events"), [(5, FEW), pytest.param(30, 100_000, marks=pytest.mark.long)])
def test_nor_while_the_broker_is_away(broker: Broker, prefix: str, tmp_path: Path, seconds: int, events: int) -> None:
    with Streams(broker.bootstrap, prefix, tmp_path) as streams:
        app = App(streams, tmp_path, events)
        with ThreadPoolExecutor(1) as apps:
            killed = apps.submit(run, app)
            wait_until(lambda: app.at_least(200_000), 120, "the app tracks")
            broker.kill()  # its own way to stop may take as long as the app runs
            before = app.witness.stat().st_size
            time.sleep(seconds)
            assert app.witness.stat().st_size > before, "the app tracks on meanwhile"
            broker.start()
            check(streams, app, killed.result(300))
