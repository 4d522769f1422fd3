"""Which servers the tests run on: METERLINE_TEST_SERVICES."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.services.clickhouse import ClickHouseServer, EmbeddedClickHouse
from tests.services.kafka import Broker, EmbeddedBroker

VARIABLE = "METERLINE_TEST_SERVICES"


def broker(folder: Path) -> Broker:
    """A broker that is not started yet and keeps everything in ``folder``."""
    if chosen() == "containers":
        from tests.services.containers import ContainerBroker

        return ContainerBroker()
    return EmbeddedBroker(folder)


def clickhouse(folder: Path) -> ClickHouseServer:
    """A ClickHouse that is not started yet and keeps everything in ``folder``."""
    if chosen() == "containers":
        from tests.services.containers import ContainerClickHouse

        return ContainerClickHouse()
    return EmbeddedClickHouse(folder)


def chosen() -> str:
    found = os.environ.get(VARIABLE, "embedded")
    if found == "containers" and importlib.util.find_spec("testcontainers") is None:
        raise pytest.UsageError("testcontainers is not installed: uv sync --all-extras --group containers")
    if found not in ("embedded", "containers"):
        raise pytest.UsageError(f"{VARIABLE} is {found!r}: choose embedded or containers")
    return found
