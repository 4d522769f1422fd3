"""Health says what is wrong: the broker, ClickHouse, or a group that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.process import ApiProcess
from tests.services.kafka import Broker, create_topics
from tests.support.cluster import produce
from tests.support.streams import wait_until


def test_a_group_that_stands_still_fails_health_but_not_readiness(kafka: str, topics: str, tmp_path: Path) -> None:
    process = ApiProcess(kafka, topics, None, tmp_path, API_STUCK_AFTER="0.5")
    process.start()
    produce(kafka, topics + "usage.events", [(1, b"{}"), (1, b"{}")])

    def streams() -> dict[str, Any]:
        found: dict[str, Any] = process.client.get("/health").json()["streams"]
        return found

    wait_until(lambda: not streams()["progressing"], 30, "the streams stand still")
    assert streams()["lag"] == 2
    assert f"{topics}usage.events[1]" in streams()["problem"]
    assert process.client.get("/health").status_code == 503
    assert process.client.get("/health/ready").status_code == 200
    assert f'meterline_api_group_lag{{group="{topics}meterline-streams"}} 2.0' in process.client.get("/metrics").text
    process.stop()


def test_a_broker_that_is_away_fails_readiness_until_it_is_back(broker: Broker, prefix: str, tmp_path: Path) -> None:
    create_topics(broker.bootstrap, prefix, 4)
    process = ApiProcess(broker.bootstrap, prefix, None, tmp_path)
    process.start()
    wait_until(lambda: "not been looked" not in process.client.get("/health").text, 30, "the first look")
    broker.pause()
    wait_until(lambda: process.client.get("/health/ready").status_code == 503, 60, "the broker is missed")
    assert process.client.get("/health/live").status_code == 200
    broker.resume()
    wait_until(
        lambda: process.client.get("/health/ready").status_code == 200,
        60,
        lambda: f"the broker is back: {process.client.get('/health').text}\n{process.log()[-4000:]}",
    )
    assert process.client.get("/health").json()["clickhouse"]["ok"] is False
    process.stop()
