"""Databases with all tables and no rows, lent to one test at a time: to make one takes most of a second."""

from __future__ import annotations

import uuid

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.services.clickhouse import ClickHouseServer, execute


class Databases:
    """Those of one server. What a test has changed beyond rows is not lent again."""

    def __init__(self, server: ClickHouseServer) -> None:
        self._server = server
        self._made: dict[str, str] = {}
        self._free: list[ClickHouseSettings] = []

    def lend(self) -> ClickHouseSettings:
        if self._free:
            settings = self._free.pop()
            self._empty(settings)  # an insert of a process that was killed may have come last
            return settings
        settings = self._server.settings(f"t{uuid.uuid4().hex[:12]}")
        migrate(settings, cluster="")
        self._made[settings.database] = self._shape(settings)
        return settings

    def take_back(self, settings: ClickHouseSettings) -> None:
        self._server.restore()
        if self._shape(settings) == self._made[settings.database]:
            self._empty(settings)
            self._free.append(settings)
        else:
            execute(settings, f"DROP DATABASE {settings.database} SYNC")

    def close(self) -> None:
        self._server.restore()
        for settings in self._free:
            execute(settings, f"DROP DATABASE {settings.database} SYNC")

    def _shape(self, settings: ClickHouseSettings) -> str:
        """Every table and view with its columns and settings, and the migrations that are said to be applied."""
        name = settings.database
        tables = f"SELECT sum(cityHash64(name, create_table_query)) FROM system.tables WHERE database = '{name}'"
        if "schema_migrations" not in execute(settings, f"SELECT name FROM system.tables WHERE database = '{name}'"):
            return "none"
        applied = f"SELECT sum(cityHash64(number, name, checksum)) FROM {name}.schema_migrations FINAL"
        return execute(settings, f"SELECT ({tables}), ({applied})")

    def _empty(self, settings: ClickHouseSettings) -> None:
        name = settings.database
        filled = execute(
            settings,
            f"SELECT name FROM system.tables WHERE database = '{name}' AND total_rows > 0 "
            "AND name != 'schema_migrations'",
        )
        for table in filled.split():
            execute(settings, f"TRUNCATE TABLE {name}.{table} SYNC")
            execute(settings, f"SYSTEM START MERGES {name}.{table}")
