"""Everything dies in turn while events flow: afterwards every total equals an independent count to the last decimal."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.services.clickhouse import ClickHouseServer
from tests.services.kafka import Broker
from tests.support.pipeline import MODULES, Pipeline, pieces
from tests.support.recount import assert_equal_counts
from tests.support.workload import Workload

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("METERLINE_TEST_SEED", "2026"))
EVENTS = 200_000
KILLS = 12


class Chaos(threading.Thread):
    """Kills -9 each process in turn at random moments, freezes the broker twice and stops ClickHouse once."""

    def __init__(self, pipeline: Pipeline, broker: Broker, clickhouse: ClickHouseServer) -> None:
        super().__init__(daemon=True)
        self._pipeline, self._broker, self._clickhouse = pipeline, broker, clickhouse
        self.kills = 0
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.release = threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.error = error
        self.done.set()
        self.release.wait()  # a server that this thread started would end with it

    def _run(self) -> None:
        rng = random.Random(SEED)
        names = list(MODULES)
        for number in range(KILLS):
            time.sleep(rng.uniform(0.5, 4))
            name = names[number % len(names)]
            if self._pipeline.alive(name):
                self._pipeline.kill(name)
                self.kills += 1
            if number in (3, 8):
                self._broker.pause()
                time.sleep(3)
                self._broker.resume()
            if number == 5:
                self._clickhouse.stop()
                time.sleep(10)
                self._clickhouse.start()


def test_totals_are_exact_after_every_process_was_killed(
    broker: Broker,
    clickhouse_server: ClickHouseServer,
    clickhouse: ClickHouseSettings,
    prefix: str,
    tmp_path: Path,
) -> None:
    with Pipeline(broker.bootstrap, prefix, tmp_path, clickhouse) as pipeline:
        pipeline.keep()
        chaos = Chaos(pipeline, broker, clickhouse_server)
        records = list(Workload(seed=SEED, events=EVENTS).records(pipeline.home, pipeline.partitions))
        chaos.start()
        sent = list(pieces(records, len(records) // 120))
        for number, piece in enumerate(sent):
            if number % 3:
                pipeline.send(piece)
            else:
                for _partition, value in piece[:10]:
                    pipeline.post(value)
                pipeline.send(piece[10:])
            if not chaos.done.is_set():
                time.sleep(0.3)  # the faults are to meet events under way
        assert chaos.done.wait(180)
        assert chaos.error is None, chaos.error
        assert chaos.kills >= 10
        pipeline.drain(seconds=120)
        pipeline.check_exact()
        pipeline.wait_for_sink()
        assert len(pipeline.expected.ids) > EVENTS * 0.9
        assert pipeline.expected.repeats > EVENTS * 0.04
        assert_equal_counts(pipeline.answers("usage_events"), pipeline.expected.answers)
        assert_equal_counts(pipeline.answers("usage_hourly"), pipeline.expected.answers)
        chaos.release.set()
