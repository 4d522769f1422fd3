"""Tables with usage in them, and an API process on them, for all tests of exports."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import migrate
from tests.api.exports.lines import Line, instant, totals
from tests.api.exports.site import LINES, METRICS, many
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.services.kafka import create_topics
from tests.support.cluster import producer
from tests.support.late import insert_events
from tests.support.streams import wait_until


@pytest.fixture(scope="package")
def database(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseSettings]:
    """Tables with usage in them; each event and total written twice."""
    settings = clickhouse_server.settings(f"exports{uuid.uuid4().hex[:12]}")
    migrate(settings, cluster="")
    edge = ClickHouse(settings, settings.database)
    for _time in range(2):
        edge.insert("usage_totals", b"\n".join(totals(LINES)))
        insert_events(edge, b"\n".join(line.written() for line in LINES))
    edge.insert("rejected_events", b"\n".join(reject(line) for line in LINES[:50]))
    edge.close()
    execute(settings, many(settings.database))
    yield settings
    execute(settings, f"DROP DATABASE {settings.database} SYNC")


@pytest.fixture(scope="package")
def api(kafka: str, database: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    prefix = f"exports-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, 2)
    sender = producer(kafka)
    for key, aggregation in METRICS.items():
        unique_by = "color" if aggregation is Aggregation.UNIQUE_COUNT else ""
        metric = Metric(key=key, unit="u", aggregation=aggregation, unique_by=unique_by)
        sender.produce(prefix + "meterline.config", metric.encode(), key=metric.record_key)
    assert sender.flush(30) == 0
    process = ApiProcess(kafka, prefix, database, tmp_path_factory.mktemp("api"))
    process.start()
    wait_until(lambda: process.usage(metric="users").status_code == 200, 30, "the metrics are known")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def reject(line: Line) -> bytes:
    fields = {
        "reason": "duplicate",
        "detail": "the same id came before",
        "kafka_topic": "usage.events",
        "kafka_partition": line.partition,
        "kafka_offset": line.offset,
        "kafka_line": 0,
        "received_at": instant(line.timestamp),
        "raw": line.id,
        "raw_encoding": "utf-8",
        "raw_bytes": 20,
        "raw_sha256": "0" * 64,
        "tenant_id": line.tenant_id,
    }
    return json.dumps(fields).encode()
