"""Kafka and ClickHouse for every test that asks; each is started when the first test needs it.

Under pytest-xdist every worker has servers of its own.
"""

from __future__ import annotations

import functools
import os
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.services import providers
from tests.services.clickhouse import ClickHouseServer, execute
from tests.services.databases import Databases
from tests.services.kafka import Broker
from tests.support.processes import forget_ended, started

OURS = ("METERLINE_TEST_", "METERLINE_CACHE")

for name in [name for name in os.environ if name.startswith("METERLINE_") and not name.startswith(OURS)]:
    del os.environ[name]  # the settings of an installation must not leak into tests

# hundreds of interpreters start: what one has compiled, the next one finds
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if providers.chosen() == "embedded":
    from tests.services.class_archive import java_options

    os.environ.setdefault("JDK_JAVA_OPTIONS", java_options())


hypothesis.settings.register_profile("meterline", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("meterline")

# every client and every `httpx.get` reads the system's certificates anew: 25 ms of computing, in loops that ask again
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers."""
    for server in _broker(tmp_path_factory.mktemp("kafka")):
        yield server.bootstrap


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Another broker, for tests that freeze or kill it; it answers again when the next test starts.

    It has their few topics only: one with thousands of partitions takes most of a minute to come back.
    """
    yield from _broker(tmp_path_factory.mktemp("broker"))


def _broker(folder: Path) -> Iterator[Broker]:
    server = providers.broker(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        if not os.environ.get("METERLINE_TEST_KEEP"):
            server.remove()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """The ClickHouse server itself; it answers again when the next test starts."""
    server = providers.clickhouse(tmp_path_factory.mktemp("clickhouse"))
    try:
        server.start()
        yield server
    finally:
        server.kill()
        if not os.environ.get("METERLINE_TEST_KEEP"):
            server.remove()


def pytest_runtest_setup() -> None:
    forget_ended()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows the last words of the processes that worked for it."""
    report = yield
    if report.when == "call" and report.failed:
        words = [(process.name, process.last_words()) for process in started()]
        report.sections += [(f"the log of {name}", text) for name, text in words if text]
    return report


@pytest.fixture(autouse=True)
def servers_answer(request: pytest.FixtureRequest) -> None:
    """Whatever the last test did to the servers, they answer this one."""
    for name in ("broker", "clickhouse_server"):
        if name in request.fixturenames:
            request.getfixturevalue(name).restore()


@pytest.fixture
def prefix() -> str:
    """A prefix for topics and groups that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture
def database() -> str:
    """The name of a database that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer, database: str) -> Iterator[ClickHouseSettings]:
    """Settings of a database that does not exist yet; dropped afterwards."""
    yield from _database(clickhouse_server, database)


@pytest.fixture(scope="session")
def databases(clickhouse_server: ClickHouseServer) -> Iterator[Databases]:
    made = Databases(clickhouse_server)
    yield made
    made.close()


@pytest.fixture
def migrated(databases: Databases) -> Iterator[ClickHouseSettings]:
    """Settings of a database that has all tables and no rows."""
    settings = databases.lend()
    yield settings
    databases.take_back(settings)


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Iterator[ClickHouseSettings]:
    """The same for all tests of a module."""
    settings = databases.lend()
    yield settings
    databases.take_back(settings)


@pytest.fixture(scope="module")
def shared_clickhouse(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseSettings]:
    """Settings of a database that does not exist yet, for a module whose tests do not change what the others read."""
    yield from _database(clickhouse_server, f"t{uuid.uuid4().hex[:12]}")


def _database(server: ClickHouseServer, name: str) -> Iterator[ClickHouseSettings]:
    settings = server.settings(name)
    yield settings
    server.restore()
    execute(settings, f"DROP DATABASE IF EXISTS {name} SYNC")
