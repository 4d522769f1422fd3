"""A rebalance storm while the broker itself freezes: longer than a transaction may take, and a worker longer still."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.services.kafka import Broker
from tests.support.alerts import check_alerts, limits
from tests.support.streams import Streams
from tests.support.workload import Workload

pytestmark = pytest.mark.faults


def test_a_storm_of_joins_and_frozen_brokers_changes_nothing(
    broker: Broker, prefix: str, tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(61)
    transaction = 4
    with Streams(broker.bootstrap, prefix, tmp_path, METERLINE_TRANSACTION_SECONDS=str(transaction)) as streams:
        streams.configure(*limits())
        records = list(Workload(seed=61, events=5_000 * rounds).records(streams.home, streams.partitions))
        piece = len(records) // rounds + 1
        for number in range(rounds):
            for name in ("a", "b"):
                if name not in streams.names() or not streams.alive(name):
                    streams.start(name)
            streams.send(records[number * piece : (number + 1) * piece])
            time.sleep(rng.uniform(0, 1))
            match number % 4:
                case 0:
                    streams.kill(rng.choice("ab"))
                case 1:
                    _freeze(broker, 3)
                case 2:
                    streams.signal(rng.choice("ab"), signal.SIGTERM)
                case 3:
                    _freeze(broker, transaction + 2)
        streams.drain("a", seconds=180)
        streams.check_exact()
        check_alerts(streams)


def _freeze(broker: Broker, seconds: float) -> None:
    broker.pause()
    time.sleep(seconds)
    broker.resume()
