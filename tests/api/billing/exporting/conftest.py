"""An API process on a ledger of documents, for each module of these tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.billing.exporting.ledger import Ledger
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    return module_database


@pytest.fixture(scope="module")
def ledger(database: ClickHouseSettings) -> Ledger:
    """With documents of October and November, some of them taken back."""
    made = Ledger(database)
    for _time in range(8):
        made.grow()
    made.void(made.invoice().number)
    return made


@pytest.fixture(scope="module")
def kafka_prefix(kafka: str) -> str:
    prefix = f"finance-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, 1)
    return prefix


@pytest.fixture(scope="module")
def api(
    kafka: str,
    kafka_prefix: str,
    database: ClickHouseSettings,
    ledger: Ledger,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ApiProcess]:
    accounts = {"BILLING_ACCOUNT_METRICS": '{"orders": "4010-{metric}"}', "BILLING_ACCOUNT_USAGE": "4000-{service}"}
    process = ApiProcess(kafka, kafka_prefix, database, tmp_path_factory.mktemp("api"), API_CALLER_LIMIT="", **accounts)
    process.start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()
