"""What tests do to servers, on whichever provider is chosen: the data stays, and the address."""

from __future__ import annotations

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.services.clickhouse import ClickHouseServer, execute, pings
from tests.services.kafka import Broker, answers, create_topics
from tests.support import cluster as plain
from tests.support.streams import wait_until


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_ended_comes_back_with_what_it_acknowledged(broker: Broker, prefix: str, how: str) -> None:
    create_topics(broker.bootstrap, prefix, 1)
    plain.produce(broker.bootstrap, prefix + "usage.events", [(0, b"kept")])
    getattr(broker, how)()
    assert not answers(broker.bootstrap)
    broker.start()
    found = [message.value() for message in plain.read_all(broker.bootstrap, prefix + "usage.events")]
    assert found == [b"kept"]


def test_a_broker_that_is_paused_does_not_answer_until_it_is_resumed(broker: Broker) -> None:
    pid = broker.pid
    broker.pause()
    assert not answers(broker.bootstrap)
    broker.resume()
    wait_until(lambda: answers(broker.bootstrap), 30, "an answer")
    assert broker.pid == pid


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_clickhouse_that_ended_comes_back_with_what_was_written(
    clickhouse_server: ClickHouseServer, clickhouse: ClickHouseSettings, how: str
) -> None:
    table = f"{clickhouse.database}.kept"
    execute(clickhouse, f"CREATE DATABASE {clickhouse.database}")
    execute(clickhouse, f"CREATE TABLE {table} (n UInt8) ENGINE = MergeTree ORDER BY n")
    execute(clickhouse, f"INSERT INTO {table} VALUES (7)")
    getattr(clickhouse_server, how)()
    assert not pings(clickhouse_server.url)
    clickhouse_server.start()
    assert execute(clickhouse, f"SELECT n FROM {table}").strip() == "7"


def test_whatever_a_test_leaves_is_restored(broker: Broker, clickhouse_server: ClickHouseServer) -> None:
    broker.pause()
    broker.restore()
    wait_until(lambda: answers(broker.bootstrap), 30, "an answer")
    clickhouse_server.pause()
    clickhouse_server.kill()
    clickhouse_server.restore()
    assert pings(clickhouse_server.url)
    broker.restore()
    assert answers(broker.bootstrap)
