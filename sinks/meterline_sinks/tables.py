"""The tables, as a sink writes them."""

from __future__ import annotations

from collections.abc import Collection

from meterline_schemas.errors import UnavailableError
from meterline_sinks.clickhouse import ClickHouse, CommandError
from meterline_sinks.late import Cell
from meterline_sinks.late_totals import LateTotals


class Tables:
    def __init__(self, database: ClickHouse) -> None:
        self._database = database
        self._late_totals = LateTotals(database)

    def insert(self, table: str, body: bytes) -> None:
        """Raises as ``ClickHouse.insert`` does."""
        self._database.insert(table, body)

    def add_up_late(self, cells: Collection[Cell]) -> None:
        """Bring the totals of late events of these cells up to date.

        Raises:
            UnavailableError: it does not answer, or with an error: no row is to blame, so it is tried again.
        """
        try:
            self._late_totals.add_up(cells)
        except CommandError as error:
            raise UnavailableError(
                f"ClickHouse does not add up late events; are its tables those of this version "
                f"(`python -m meterline_sinks.migrate`)? It says: {error}"
            ) from None
