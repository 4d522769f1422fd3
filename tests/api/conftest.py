"""The API as a process of its own, on a real broker and a real ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics


@pytest.fixture
def topics(kafka: str, prefix: str) -> str:
    """All topics, under the prefix."""
    create_topics(kafka, prefix, 4)
    return prefix


@pytest.fixture
def api(kafka: str, topics: str, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[ApiProcess]:
    """Started and taking events; its tables do not exist."""
    process = ApiProcess(kafka, topics, clickhouse, tmp_path)
    process.start()
    yield process
    process.stop()
