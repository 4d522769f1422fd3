"""One installation for each module of these tests: all processes, last month closed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.api.billing.estimates.site import LAB, NEW, OTHER, close, entries, events, invoices
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

RATES = [
    {"base": "USD", "currency": "EUR", "rate": "0.85", "source": "somebody", "date": "2019-01-01"},
    {"base": "USD", "currency": "EUR", "rate": "0.9", "source": "a bank", "date": "2020-01-01"},
    {"base": "USD", "currency": "EUR", "rate": "7", "source": "a bank", "date": "2100-01-01"},
]


@pytest.fixture(scope="package")
def pipeline(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    database = clickhouse_server.settings(f"estimate{uuid.uuid4().hex[:12]}")
    prefix = f"estimate{uuid.uuid4().hex[:8]}."
    with Pipeline(kafka, prefix, tmp_path_factory.mktemp("pipeline"), database, partitions=2) as started:
        started.configure(*entries())
        started.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P3000D")
        started.start("sink", "meterline_sinks")
        yield started
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


@pytest.fixture(scope="package")
def api(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    process = ApiProcess(
        pipeline.bootstrap,
        pipeline.prefix,
        pipeline.clickhouse,
        tmp_path_factory.mktemp("api"),
        ACCEPT_PAST="P3000D",
        BILLING_GRACE="PT0S",
        BILLING_REPORTING_CURRENCY="EUR",
        BILLING_EXCHANGE_RATES=json.dumps(RATES),
    )
    process.start()
    sent = process.send(json.dumps(list(events())))
    assert sent.status_code == 202, sent.text
    assert sent.json()["invalid"] == 0
    close(process)
    wait_until(lambda: all(invoices(process, tenant) for tenant in (LAB, OTHER, NEW)), 60, "last month is invoiced")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()
    assert "internal error" not in process.log()
