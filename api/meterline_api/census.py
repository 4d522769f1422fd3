"""How much there is, for ``/metrics``: usage records, and tenants that are active (requirement document 5)."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime
from typing import Final

from meterline_api import metrics
from meterline_api.clickhouse import ClickHouse
from meterline_schemas.errors import UnavailableError

_KEPT: Final = 60.0  # seconds
_PATIENCE: Final = 2.0
_SQL: Final = (
    "SELECT (SELECT sum(accepted) FROM usage_freshness), "
    "(SELECT uniqExact(tenant_id) FROM usage_parts WHERE hour >= toDateTime({month:UInt32}, 'UTC'))"
)


class Counting:
    """Counts anew at most once a minute, whoever asks. Without ClickHouse the numbers stay as they were."""

    def __init__(self, tables: ClickHouse) -> None:
        self._tables = tables
        self._next = 0.0

    async def look(self, now: datetime) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _KEPT
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._count(now)

    async def _count(self, now: datetime) -> None:
        """Set the metrics. Raises ``UnavailableError`` where ClickHouse does not answer."""
        raise NotImplementedError


class Census(Counting):
    async def _count(self, now: datetime) -> None:
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ((records, tenants),) = await self._tables.rows(_SQL, {"month": int(month.timestamp())})
        metrics.RECORDS.set(records)
        metrics.TENANTS.set(tenants)
