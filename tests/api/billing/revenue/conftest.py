"""An API process on a ledger of documents of many months, days and time zones."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.billing.exporting.ledger import Ledger
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics

FIRST = datetime(2025, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def database(module_database: ClickHouseSettings) -> ClickHouseSettings:
    return module_database


@pytest.fixture(scope="module")
def ledger(database: ClickHouseSettings) -> Ledger:
    """Periods of days and of months from midnights of all zones, a third of them taken back, some months with none."""
    made, chance = Ledger(database, seed=11), random.Random(23)
    for _each in range(70):
        month = chance.choice((0, 1, 2, 4, 5, 6, 12, 13))
        start = FIRST + timedelta(days=30 * month + chance.randrange(30)) - chance.randint(-12, 14) * HOUR
        made.invoice(start=start, end=start + timedelta(days=chance.choice((1, 28, 30, 31))))
    for number in chance.sample(made.open(), 20):
        made.void(number)
    return made


@pytest.fixture(scope="module")
def kafka_prefix(kafka: str) -> str:
    prefix = f"revenue-{uuid.uuid4().hex[:8]}."
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
    process = ApiProcess(kafka, kafka_prefix, database, tmp_path_factory.mktemp("api"), API_CALLER_LIMIT="")
    process.start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()
