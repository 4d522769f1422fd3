"""ClickHouse for tests: one server, and a database of each test's own."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from meterline_deploy.ports import HOST, accepts
from meterline_schemas.settings import ClickHouseSettings
from tests.services.server import Process, Server
from tests.support.ports import free_port

PASSWORD = "test-password"
ANALYST_PASSWORD = "analyst-test-password"


class ClickHouseServer(Server, Protocol):
    """A server; its address stays the same over restarts."""

    @property
    def url(self) -> str: ...

    def settings(self, database: str) -> ClickHouseSettings: ...


class EmbeddedClickHouse(Process):
    """The ClickHouse that ``meterline up`` runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__("clickhouse", folder)
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def settings(self, database: str) -> ClickHouseSettings:
        return settings_of(self.url, database)

    def command(self) -> list[str]:
        return [
            "meterline_deploy.embedded.clickhouse",
            *("--data", str(self._folder / "clickhouse")),
            *("--port", str(self._port)),
            *("--password", PASSWORD),
            *("--analyst-password", ANALYST_PASSWORD),
        ]

    def ready(self) -> bool:
        return accepts(self._port) and pings(self.url)


def settings_of(url: str, database: str) -> ClickHouseSettings:
    return ClickHouseSettings(
        url=url,
        user="default",
        password=SecretStr(PASSWORD),
        database=database,
        analyst_user="analyst",
        analyst_password=SecretStr(ANALYST_PASSWORD),
    )


def pings(url: str) -> bool:
    """Whether a server answers ``/ping``."""
    try:
        with urllib.request.urlopen(url + "/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def execute(settings: ClickHouseSettings, sql: str) -> str:
    """Run a statement without any code of the pipeline; returns what the server answers."""
    request = urllib.request.Request(
        settings.url,
        data=sql.encode(),
        headers={"X-ClickHouse-User": settings.user, "X-ClickHouse-Key": settings.password.get_secret_value()},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{sql}: {error.read().decode(errors='replace')[:500]}") from None
